"""GitHub, and GitHub Enterprise Server: REST interface, version 2022-11-28.

Source: github.com/github/rest-api-description, `descriptions/api.github.com/api.github.com.2022-11-28.json`; the
tests check what is used here against it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from mohist.base import Clock
from mohist.delivery.errors import ForgeError
from mohist.delivery.forge.contract import Check, Issue, Request, Standing
from mohist.delivery.forge.wire import Wire, ended, marker, number_of, understood

Method = Literal["merge", "squash", "rebase"]

_WELL: Final = frozenset({"success", "neutral", "skipped"})
_STATES: Final[Mapping[str, Literal["passed", "pending", "failed"]]] = {
    "success": "passed",
    "pending": "pending",
    "failure": "failed",
    "error": "failed",
}
_ASKS: Final = frozenset({"CHANGES_REQUESTED", "REQUEST_CHANGES"})
_VERDICTS: Final = _ASKS | {"APPROVED", "DISMISSED"}
_UNPROCESSABLE: Final = 422
_NOT_YET: Final = (405, 409)
_PAGE: Final = 100
_PAGES: Final = 20


@dataclass(frozen=True, slots=True)
class GitHub:
    """Fills `Forge`."""

    wire: Wire
    project: str
    """`owner/name`."""
    method: Method = "merge"

    @classmethod
    def made(cls, api: str, project: str, token: str, method: Method, clock: Clock) -> GitHub:
        headers = {
            "authorization": f"Bearer {token}",
            "accept": "application/vnd.github+json",
            "x-github-api-version": "2022-11-28",
        }
        return cls(Wire(api, headers, clock), project, method)

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
        answer = await self.wire.call("POST", f"{self._base}/pulls", body=asked, accept=(_UNPROCESSABLE,))
        if answer.status != _UNPROCESSABLE:
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
        state = said["mergeable_state"]
        missing = {
            "unknown": ("the forge looks whether it merges",),
            "draft": ("it is a draft",),
            "blocked": ("reviews or checks that the branch's protection asks for",),
        }.get(state, ())
        return Standing(
            request,
            await self._checks(request.head),
            await self._objections(number),
            missing,
            behind=state in ("behind", "dirty"),
        )

    @understood
    async def merge(self, number: int, expected_head: str) -> Request | str:
        asked = {"sha": expected_head, "merge_method": self.method}
        answer = await self.wire.call("PUT", f"{self._base}/pulls/{number}/merge", body=asked, accept=_NOT_YET)
        now = _request((await self.wire.call("GET", f"{self._base}/pulls/{number}")).said)
        return now if now.state == "merged" else answer.why

    @understood
    async def close(self, number: int, key: str, because: str) -> Request:
        at = f"{self._base}/pulls/{number}"
        now = _request((await self.wire.call("GET", at)).said)
        if now.state != "open":
            return now
        await self._comment(number, key, because)
        answer = await self.wire.call("PATCH", at, body={"state": "closed"}, accept=(_UNPROCESSABLE,))
        return ended(_request((await self.wire.call("GET", at)).said), answer)

    @property
    def _base(self) -> str:
        return f"/repos/{self.project}"

    async def _comment(self, number: int, key: str, text: str) -> None:
        at = f"{self._base}/issues/{number}/comments"
        for page in range(1, _PAGES + 1):
            rows = (await self.wire.call("GET", at, {"per_page": str(_PAGE), "page": str(page)})).said
            if any(marker(key) in (row["body"] or "") for row in rows):
                return
            if len(rows) < _PAGE:
                break
        await self.wire.call("POST", at, body={"body": f"{text}\n\n{marker(key)}"})

    @understood
    async def find(self, head: str, base: str, key: str) -> Request | None:
        owner = self.project.partition("/")[0]
        query = {"head": f"{owner}:{head}", "base": base, "state": "all", "sort": "created", "direction": "desc"}
        for said in (await self.wire.call("GET", f"{self._base}/pulls", query)).said:
            if said["head"]["ref"] == head and marker(key) in (said["body"] or ""):
                return _request(said)
        return None

    async def _checks(self, commit: str) -> tuple[Check, ...]:
        runs = await self.wire.call("GET", f"{self._base}/commits/{commit}/check-runs", {"per_page": "100"})
        found = {}
        for run in runs.said["check_runs"]:
            state: Literal["passed", "pending", "failed"] = "pending"
            if run["status"] == "completed":
                state = "passed" if run["conclusion"] in _WELL else "failed"
            found[run["name"]] = Check(run["name"], state)
        statuses = await self.wire.call("GET", f"{self._base}/commits/{commit}/status", {"per_page": "100"})
        for status in statuses.said["statuses"]:
            found[status["context"]] = Check(status["context"], _STATES.get(status["state"], "failed"))
        return tuple(found.values())

    async def _objections(self, number: int) -> tuple[str, ...]:
        reviews = (await self.wire.call("GET", f"{self._base}/pulls/{number}/reviews", {"per_page": "100"})).said
        return objections([((row["user"] or {}).get("login", "?"), row["state"]) for row in reviews])


def objections(reviews: list[tuple[str, str]]) -> tuple[str, ...]:
    """Whose last word of those that count asks for changes; oldest first, as forges list them."""
    last = {who: state for who, state in reviews if state in _VERDICTS}
    return tuple(who for who, state in last.items() if state in _ASKS)


def _request(said: Any) -> Request:
    merged = bool(said["merged_at"])
    state: Literal["open", "merged", "closed"] = "merged" if merged else "open" if said["state"] == "open" else "closed"
    return Request(
        said["number"], said["html_url"], said["head"]["sha"], state, (said["merge_commit_sha"] or "") if merged else ""
    )
