"""Gitea and Forgejo: REST interface, version 1.

Source: Gitea's swagger, `templates/swagger/v1_json.tmpl` of github.com/go-gitea/gitea, as of 1.27.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import quote

from mohist.base import Clock
from mohist.delivery.errors import ForgeError
from mohist.delivery.forge.contract import Check, Issue, Request, Standing
from mohist.delivery.forge.github import Method, objections
from mohist.delivery.forge.wire import Wire, ended, marker, number_of, understood

_STATES: Final[Mapping[str, Literal["passed", "pending", "failed"]]] = {
    "success": "passed",
    "warning": "passed",
    "skipped": "passed",
    "pending": "pending",
}
_REFUSED: Final = (409, 422)
_NOT_YET: Final = (405, 409, 423)
_STAYS: Final = (409, 412, 422)
_PAGE: Final = 50
_PAGES: Final = 20


@dataclass(frozen=True, slots=True)
class Gitea:
    """Fills `Forge`."""

    wire: Wire
    project: str
    """`owner/name`."""
    method: Method = "merge"

    @classmethod
    def made(cls, api: str, project: str, token: str, method: Method, clock: Clock) -> Gitea:
        return cls(Wire(api, {"authorization": f"token {token}", "accept": "application/json"}, clock), project, method)

    @understood
    async def issue(self, which: int | str) -> Issue:
        number = number_of(which, self.project, self.wire.api, "/issues/")
        said = (await self.wire.call("GET", f"{self._base}/issues/{number}")).said
        return Issue(said["number"], said["title"], said["body"] or "", said["html_url"])

    @understood
    async def open_request(self, head: str, base: str, title: str, body: str, key: str) -> Request:
        if found := await self.find(head, base, key):
            return found
        asked = {"title": title, "head": head, "base": base, "body": f"{body}\n\n{marker(key)}"}
        answer = await self.wire.call("POST", f"{self._base}/pulls", body=asked, accept=_REFUSED)
        if answer.status not in _REFUSED:
            return _request(answer.said)
        if found := await self.find(head, base, key):
            return found
        raise ForgeError(f"{self.project} takes no pull request from {head}: {answer.why}.")

    @understood
    async def request(self, number: int) -> Standing:
        said = (await self.wire.call("GET", f"{self._base}/pulls/{number}")).said
        request = _request(said)
        if request.state != "open":
            return Standing(request)
        reviews = (await self.wire.call("GET", f"{self._base}/pulls/{number}/reviews", {"limit": str(_PAGE)})).said
        counting = [row for row in reviews if not row.get("dismissed") and not row.get("stale")]
        return Standing(
            request,
            await self._checks(request.head),
            objections([((row["user"] or {}).get("login", "?"), row["state"]) for row in counting]),
            ("it is a draft",) if said.get("draft") else (),
            behind=not said["mergeable"] and not said.get("draft"),
        )

    @understood
    async def merge(self, number: int, expected_head: str) -> Request | str:
        # `do` since 1.27 and `Do` before: both read either.
        asked = {"Do": self.method, "head_commit_id": expected_head}
        answer = await self.wire.call("POST", f"{self._base}/pulls/{number}/merge", body=asked, accept=_NOT_YET)
        now = _request((await self.wire.call("GET", f"{self._base}/pulls/{number}")).said)
        return now if now.state == "merged" else answer.why

    @understood
    async def close(self, number: int, key: str, because: str) -> Request:
        at = f"{self._base}/pulls/{number}"
        now = _request((await self.wire.call("GET", at)).said)
        if now.state != "open":
            return now
        await self._comment(number, key, because)
        answer = await self.wire.call("PATCH", at, body={"state": "closed"}, accept=_STAYS)
        return ended(_request((await self.wire.call("GET", at)).said), answer)

    @property
    def _base(self) -> str:
        return "/repos/" + "/".join(quote(part, safe="") for part in self.project.split("/"))

    async def _comment(self, number: int, key: str, text: str) -> None:
        at = f"{self._base}/issues/{number}/comments"
        rows = (await self.wire.call("GET", at)).said  # all of them: it has no pages
        if not any(marker(key) in row["body"] for row in rows):
            await self.wire.call("POST", at, body={"body": f"{text}\n\n{marker(key)}"})

    @understood
    async def find(self, head: str, base: str, key: str) -> Request | None:
        # It can't be asked for by head, so it is looked for, newest first; before 1.24 it is asked for by no base either.
        for page in range(1, _PAGES + 1):
            query = {
                "base_branch": base,
                "state": "all",
                "sort": "recentupdate",
                "limit": str(_PAGE),
                "page": str(page),
            }
            listed = (await self.wire.call("GET", f"{self._base}/pulls", query)).said
            for said in listed:
                refs = (said["head"]["ref"], said["base"]["ref"])
                # Of a request whose branch is gone, Gitea names the head by its own ref.
                if marker(key) in (said["body"] or "") and (refs == (head, base) or refs[0].startswith("refs/pull/")):
                    return _request(said)
            if len(listed) < _PAGE:
                return None
        return None

    async def _checks(self, commit: str) -> tuple[Check, ...]:
        said = (await self.wire.call("GET", f"{self._base}/commits/{commit}/status", {"limit": str(_PAGE)})).said
        rows = (said or {}).get("statuses") or []
        return tuple(Check(row["context"], _STATES.get(row["status"], "failed")) for row in rows)


def _request(said: Any) -> Request:
    state: Literal["open", "merged", "closed"] = (
        "merged" if said["merged"] else "open" if said["state"] == "open" else "closed"
    )
    merged = (said["merge_commit_sha"] or "") if said["merged"] else ""
    return Request(said["number"], said["html_url"], said["head"]["sha"], state, merged)
