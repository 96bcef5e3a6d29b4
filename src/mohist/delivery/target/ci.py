"""A pipeline of the forge that deploys: started with the release's id, found again by it, followed to its end.

The workflow gets `action` (`deploy` or `rollback`), `release`, `commit`, `version` and `previous`. It must show the id in
its run's name (`run-name: ${{ inputs.action }} ${{ inputs.release }}` on GitHub and Gitea; GitLab's variables are read):
that is how a start that was not answered is told from one that never arrived.

Sources: GitHub REST 2022-11-28 "Create a workflow dispatch event", "List workflow runs for a workflow"; GitLab API v4
"Create a new pipeline", "List project pipelines", "Get pipeline variables"; Gitea 1.25 swagger `ActionsDispatchWorkflow`,
`ListWorkflowRuns`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal
from urllib.parse import quote

import anyio
import httpx2
from anyio import to_thread

from mohist.delivery.errors import TargetError, UnreachableError
from mohist.delivery.target.command import free_lock, read_mark, take_lock, write_mark
from mohist.delivery.target.contract import Answer, ReleaseFacts, Standing, Strategy
from mohist.delivery.target.probe import ProbeSpec, ask

Action = Literal["deploy", "rollback"]

_POLL_S = 3.0
_APPEAR_S = 60.0
_LOOK_BACK = 30
_SERVER_ERROR, _TOO_MANY = 500, 429


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the pipeline."""

    address: str
    over: bool
    well: bool


@dataclass(frozen=True, slots=True)
class CiTarget:
    """Fills `Target`."""

    forge: Literal["github", "gitlab", "gitea"]
    api: str
    """`https://api.github.com`, `https://gitlab.example/api/v4`, `https://gitea.example/api/v1`."""
    project: str
    workflow: str
    ref: str
    token: str
    probing: ProbeSpec
    memory: Path
    timeout_s: float = 3600.0
    poll_s: float = _POLL_S

    kind: ClassVar[str] = "ci"
    strategies: ClassVar[frozenset[Strategy]] = frozenset({"in-place"})

    def __repr__(self) -> str:
        return f"CiTarget({self.forge}, {self.project})"

    def plan(self, release: ReleaseFacts) -> Sequence[str]:
        return [f"start {self.workflow or 'the pipeline'} of {self.project} at {self.ref} with {release.release_id}"]

    async def prepare(self, release: ReleaseFacts) -> None:
        """Asks whether the pipeline can be reached with this token; the rest is the pipeline's."""
        await to_thread.run_sync(take_lock, self.memory, release.release_id)
        await self._call("GET", self._listing(), {})

    async def activate(self, release: ReleaseFacts, weight: int = 100) -> None:  # noqa: ARG002 - has no switch
        await self._remember("touched", release.release_id)
        await self._follow("deploy", release, "")
        await self._remember("active", release.release_id)

    async def probe(self, release: ReleaseFacts, *, beside: bool = False) -> Answer:  # noqa: ARG002 - nothing beside
        return await ask(self.probing)

    async def commit(self, release: ReleaseFacts) -> None:
        await to_thread.run_sync(free_lock, self.memory, release.release_id)

    async def rollback(self, release: ReleaseFacts, previous: str) -> None:
        await to_thread.run_sync(take_lock, self.memory, release.release_id)
        if await to_thread.run_sync(read_mark, self.memory / "touched") == release.release_id:
            await self._follow("rollback", release, previous)
            await self._remember("active", previous)
            await self._remember("touched", previous)
        await to_thread.run_sync(free_lock, self.memory, release.release_id)

    async def status(self) -> Standing:
        return Standing(await to_thread.run_sync(read_mark, self.memory / "active"))

    async def _remember(self, what: str, release_id: str) -> None:
        await to_thread.run_sync(write_mark, self.memory / what, release_id)

    async def _follow(self, action: Action, release: ReleaseFacts, previous: str) -> None:
        run = await self._find(action, release)
        if run is None:  # one that failed is not repeated: what it did is not known
            await self._start(action, release, previous)
        began_s = time.monotonic()
        while run is None or not run.over:
            waited_s = time.monotonic() - began_s
            if run is None and waited_s > _APPEAR_S:
                raise UnreachableError(
                    f"No run of {self.project} names {release.release_id!r}.", "See `run-name` in the guide."
                )
            if waited_s > self.timeout_s:
                raise TargetError(f"The pipeline took more than {self.timeout_s:g} s.", run.address if run else "")
            await anyio.sleep(self.poll_s)
            run = await self._find(action, release)
        if not run.well:
            raise TargetError(f"The pipeline's {action} failed.", f"See {run.address}.")

    async def _start(self, action: Action, release: ReleaseFacts, previous: str) -> None:
        inputs = {
            "action": action,
            "release": release.release_id,
            "commit": release.commit,
            "version": release.version,
            "previous": previous,
        }
        if self.forge == "gitlab":
            variables = [{"key": f"MOHIST_{name.upper()}", "value": value} for name, value in inputs.items()]
            await self._call("POST", f"{self._base()}/pipeline", {}, {"ref": self.ref, "variables": variables})
        else:
            where = f"{self._base()}/actions/workflows/{quote(self.workflow, safe='')}/dispatches"
            await self._call("POST", where, {}, {"ref": self.ref, "inputs": inputs})

    async def _find(self, action: Action, release: ReleaseFacts) -> Run | None:
        if self.forge == "gitlab":
            query = {"ref": self.ref, "source": "api", "per_page": str(_LOOK_BACK)}
            for item in await self._call("GET", self._listing(), query):
                said = await self._call("GET", f"{self._base()}/pipelines/{item['id']}/variables", {})
                named = {one["key"]: one["value"] for one in said}
                if (named.get("MOHIST_ACTION"), named.get("MOHIST_RELEASE")) == (action, release.release_id):
                    over = item["status"] in ("success", "failed", "canceled", "skipped")
                    return Run(item["web_url"], over, item["status"] == "success")
            return None
        query = {"event": "workflow_dispatch", "per_page": str(_LOOK_BACK), "limit": str(_LOOK_BACK)}
        listed = await self._call("GET", self._listing(), query)
        for item in listed["workflow_runs"]:
            words = str(item["display_title"]).split()
            if release.release_id in words and action in words:
                return Run(item["html_url"], item["status"] == "completed", item["conclusion"] == "success")
        return None

    def _base(self) -> str:
        if self.forge == "gitlab":
            return f"{self.api}/projects/{quote(self.project, safe='')}"
        return f"{self.api}/repos/{self.project}"

    def _listing(self) -> str:
        if self.forge == "gitlab":
            return f"{self._base()}/pipelines"
        if self.forge == "gitea":
            return f"{self._base()}/actions/runs"
        return f"{self._base()}/actions/workflows/{quote(self.workflow, safe='')}/runs"

    async def _call(self, method: str, address: str, query: dict[str, str], body: Any = None) -> Any:
        headers = {"PRIVATE-TOKEN": self.token} if self.forge == "gitlab" else {"authorization": f"Bearer {self.token}"}
        if self.forge == "github":
            headers |= {"accept": "application/vnd.github+json", "x-github-api-version": "2022-11-28"}
        try:
            async with httpx2.AsyncClient(timeout=30, headers=headers) as client:
                answer = await client.request(method, address, params=query, json=body)
                said = answer.json() if answer.content else None
        except (httpx2.HTTPError, ValueError) as error:
            raise UnreachableError(f"{self.api} does not answer: {type(error).__name__}.") from None
        if answer.status_code >= _SERVER_ERROR or answer.status_code == _TOO_MANY:
            raise UnreachableError(f"{self.api} answers {answer.status_code}.")
        if not answer.is_success:
            raise TargetError(
                f"{self.api} answers {answer.status_code} to {method} for {self.project}.",
                "Check project, workflow and the token's rights.",
            )
        return said
