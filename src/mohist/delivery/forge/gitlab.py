"""GitLab: REST interface, version 4.

Source: `doc/api/openapi/openapi_v2.yaml` of github.com/gitlabhq/gitlabhq, and `doc/api/merge_requests.md` there for the
values of `detailed_merge_status`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import quote

from mohist.base import Clock
from mohist.delivery.errors import ForgeError
from mohist.delivery.forge.contract import Check, Issue, Request, Standing
from mohist.delivery.forge.github import Method
from mohist.delivery.forge.wire import Wire, ended, marker, number_of, understood

_BEHIND: Final = frozenset({"conflict", "need_rebase"})
_MISSING: Final[Mapping[str, str]] = {
    "approvals_syncing": "the forge counts approvals",
    "checking": "the forge looks whether it merges",
    "unchecked": "the forge looks whether it merges",
    "preparing": "the forge looks whether it merges",
    "commits_status": "the forge looks whether it merges",
    "ci_must_pass": "a pipeline that must pass",
    "ci_still_running": "its pipeline",
    "discussions_not_resolved": "discussions that are not resolved",
    "draft_status": "it is a draft",
    "not_approved": "approvals",
    "requested_changes": "changes that a reviewer asked for",
    "status_checks_must_pass": "checks that must pass",
    "external_status_checks": "checks that must pass",
}
_PASSED: Final = frozenset({"success", "skipped"})
_FAILED: Final = frozenset({"failed", "canceled", "canceling"})
_REFUSED: Final = (409, 422)
_NOT_YET: Final = (401, 405, 409, 422)


@dataclass(frozen=True, slots=True)
class GitLab:
    """Fills `Forge`."""

    wire: Wire
    project: str
    """`group/name`, or `group/subgroup/name`."""
    method: Method = "merge"

    @classmethod
    def made(cls, api: str, project: str, token: str, method: Method, clock: Clock) -> GitLab:
        return cls(Wire(api, {"private-token": token}, clock), project, method)

    @understood
    async def issue(self, which: int | str) -> Issue:
        number = number_of(which, self.project, self.wire.api, "/-/issues/")
        said = (await self.wire.call("GET", f"{self._base}/issues/{number}")).said
        return Issue(said["iid"], said["title"], said["description"] or "", said["web_url"])

    @understood
    async def open_request(self, head: str, base: str, title: str, body: str, key: str) -> Request:
        if found := await self.find(head, base, key):
            return found
        asked = {
            "source_branch": head,
            "target_branch": base,
            "title": title,
            "description": f"{body}\n\n{marker(key)}",
        }
        answer = await self.wire.call("POST", f"{self._base}/merge_requests", body=asked, accept=_REFUSED)
        if answer.status not in _REFUSED:
            return _request(answer.said)
        if found := await self.find(head, base, key):
            return found
        raise ForgeError(f"{self.project} takes no merge request from {head}: {answer.why}.")

    @understood
    async def request(self, number: int) -> Standing:
        said = (await self.wire.call("GET", f"{self._base}/merge_requests/{number}")).said
        request = _request(said)
        if request.state != "open":
            return Standing(request)
        status = said["detailed_merge_status"]
        missing: tuple[str, ...] = ()
        if status != "mergeable" and status not in _BEHIND:
            missing = (_MISSING.get(status, f"the forge says {status}"),)
        return Standing(request, _checks(said["head_pipeline"]), (), missing, behind=status in _BEHIND)

    @understood
    async def merge(self, number: int, expected_head: str) -> Request | str:
        asked = {"sha": expected_head, "squash": self.method == "squash"}
        answer = await self.wire.call("PUT", f"{self._base}/merge_requests/{number}/merge", body=asked, accept=_NOT_YET)
        now = _request((await self.wire.call("GET", f"{self._base}/merge_requests/{number}")).said)
        return now if now.state == "merged" else answer.why

    @understood
    async def close(self, number: int, key: str, because: str) -> Request:
        at = f"{self._base}/merge_requests/{number}"
        now = _request((await self.wire.call("GET", at)).said)
        if now.state != "open":
            return now
        # Newest first, so one page holds a comment that was written before a kill.
        notes = (await self.wire.call("GET", f"{at}/notes", {"per_page": "100"})).said
        if not any(marker(key) in row["body"] for row in notes):
            await self.wire.call("POST", f"{at}/notes", body={"body": f"{because}\n\n{marker(key)}"})
        answer = await self.wire.call("PUT", at, body={"state_event": "close"}, accept=_REFUSED)
        return ended(_request((await self.wire.call("GET", at)).said), answer)

    @property
    def _base(self) -> str:
        return f"/projects/{quote(self.project, safe='')}"

    @understood
    async def find(self, head: str, base: str, key: str) -> Request | None:
        query = {"source_branch": head, "target_branch": base, "state": "all", "scope": "all"}
        for said in (await self.wire.call("GET", f"{self._base}/merge_requests", query)).said:
            if said["source_branch"] == head and marker(key) in (said["description"] or ""):
                return _request(said)
        return None


def _checks(pipeline: Any) -> tuple[Check, ...]:
    if not pipeline:
        return ()
    status = pipeline["status"]
    state: Literal["passed", "pending", "failed"] = (
        "passed" if status in _PASSED else "failed" if status in _FAILED else "pending"
    )
    return (Check("pipeline", state),)


def _request(said: Any) -> Request:
    states: Mapping[str, Literal["open", "merged", "closed"]] = {"merged": "merged", "closed": "closed"}
    state = states.get(said["state"], "open")  # `opened`, and `locked` while it is being merged
    # A fast-forward makes no commit: then the head itself is what the base got.
    merged = said["merge_commit_sha"] or said["squash_commit_sha"] or said["sha"] or ""
    return Request(said["iid"], said["web_url"], said["sha"] or "", state, merged if state == "merged" else "")
