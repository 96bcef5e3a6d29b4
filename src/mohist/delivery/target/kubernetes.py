"""A Kubernetes namespace: server-side apply of the release's manifests, and the rollout watched to its end.

Through `kubectl` and not a client library: it knows every way to log in (exec plugins of the clouds, certificates,
proxies), says what a person can repeat, and adds no dependency. The way back applies the manifests of the release before,
which are kept: `rollout undo` would bring back the pods and leave configuration, services and what was added.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import ClassVar

from anyio import to_thread

from mohist.delivery.errors import BusyError, TargetError, UnreachableError
from mohist.delivery.target.command import Shell, tail, write_mark
from mohist.delivery.target.contract import Answer, ReleaseFacts, Standing, Strategy
from mohist.delivery.target.probe import ProbeSpec, ask

_MANAGER = "mohist"
_MARK = "mohist-release"
"""A ConfigMap of the namespace: what is active, and whose activation began."""
_LOCK = "mohist-lock"
"""Another, whose making is atomic: it names the release that is under way, and goes at its end."""
_ID = re.compile(r"rel-[a-z0-9-]{1,60}")
_AWAY = re.compile(
    rb"connection refused|i/o timeout|TLS handshake timeout|no route to host|no such host|ServiceUnavailable"
    rb"|was refused - did you specify|TooManyRequests|EOF"
)


@dataclass(frozen=True, slots=True)
class KubernetesTarget:
    """Fills `Target`. Manifests may use `${MOHIST_VERSION}`, `${MOHIST_COMMIT}` and `${MOHIST_RELEASE}`."""

    shell: Shell
    context: str
    namespace: str
    manifests: str
    workloads: tuple[str, ...]
    probing: ProbeSpec
    wait_s: int = 300

    kind: ClassVar[str] = "kubernetes"
    strategies: ClassVar[frozenset[Strategy]] = frozenset({"in-place"})

    def plan(self, release: ReleaseFacts) -> Sequence[str]:  # noqa: ARG002 - the same for every one
        return [
            f"check {self.manifests} against the cluster of {self.context} (a dry run on the server)",
            f"apply it to the namespace {self.namespace} on the server's side, as {_MANAGER}",
            f"wait up to {self.wait_s} s for the rollout of {', '.join(self.workloads)}",
        ]

    async def prepare(self, release: ReleaseFacts) -> None:
        await self._lock(release.release_id)
        await to_thread.run_sync(self._render, release)
        await self._apply(release.release_id, "--dry-run=server")

    async def activate(self, release: ReleaseFacts, weight: int = 100) -> None:  # noqa: ARG002 - has no switch
        active, _ = await self._marks()
        await self._mark(active, release.release_id)
        await self._apply(release.release_id)
        await self._rolled_out()
        await self._mark(release.release_id, release.release_id)

    async def probe(self, release: ReleaseFacts, *, beside: bool = False) -> Answer:  # noqa: ARG002 - nothing beside
        async def runs(command: str) -> tuple[int | None, bytes]:
            return await self.shell.run(["sh", "-c", command], None, release.env())

        return await ask(self.probing, runs=runs)

    async def commit(self, release: ReleaseFacts) -> None:
        await self._lock(release.release_id)
        await self._free()

    async def rollback(self, release: ReleaseFacts, previous: str) -> None:
        await self._lock(release.release_id)
        if release.release_id in await self._marks():
            await self._back(release, previous)
        await self._free()

    async def _back(self, release: ReleaseFacts, previous: str) -> None:
        if not previous:
            # Nothing was there: only what this release brought goes.
            brought = str(self._kept(release.release_id))
            await self._kubectl("delete", "--ignore-not-found", "--wait=false", "-f", brought)
        elif not await to_thread.run_sync(self._kept(previous).is_dir):
            raise TargetError(f"The manifests of {previous!r} are not kept.", "Deploy its commit again.")
        else:
            await self._apply(previous)
            await self._rolled_out()
        await self._mark(previous, previous)

    async def _lock(self, release_id: str) -> None:
        try:
            await self._kubectl("create", "-f", await self._config_map(_LOCK, owner=release_id))
        except TargetError as error:
            if "already exists" not in str(error):
                raise
        read = ("get", "configmap", _LOCK, "--ignore-not-found", "-o", "jsonpath={.data.owner}")
        owner = (await self._kubectl(*read)).decode("utf-8", "replace").strip()
        if owner != release_id:
            raise BusyError(
                f"Release {owner!r} is under way in {self.namespace}.",
                f"Wait for it, or cancel its delivery; where there is none, delete the ConfigMap {_LOCK}.",
            )

    async def _free(self) -> None:
        await self._kubectl("delete", "configmap", _LOCK, "--ignore-not-found")

    async def status(self) -> Standing:
        active, touched = await self._marks()
        names = await to_thread.run_sync(lambda: sorted(path.name for path in self.shell.home.glob("rel-*")))
        return Standing(active, tuple(names), f"last activation: {touched}" if touched != active else "")

    async def _marks(self) -> tuple[str, str]:
        output = await self._kubectl(
            *("get", "configmap", _MARK, "--ignore-not-found", "-o", "jsonpath={.data.active}/{.data.touched}")
        )
        active, _, touched = output.decode("utf-8", "replace").strip().partition("/")
        return active, touched

    async def _mark(self, active: str, touched: str) -> None:
        mark = await self._config_map(_MARK, active=active, touched=touched)
        await self._kubectl("apply", "--server-side", f"--field-manager={_MANAGER}", "--force-conflicts", "-f", mark)

    async def _config_map(self, name: str, **data: str) -> str:
        """Writes one for kubectl to read; returns its path."""
        value = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}
        path = self.shell.home / f"{name}.json"
        await to_thread.run_sync(write_mark, path, json.dumps(value))
        return str(path)

    async def _apply(self, release_id: str, *more: str) -> None:
        # Conflicts are not forced: a field that somebody else owns is theirs until a person decides.
        folder = str(self._kept(release_id))
        await self._kubectl("apply", "--server-side", f"--field-manager={_MANAGER}", *more, "-R", "-f", folder)

    async def _rolled_out(self) -> None:
        for workload in self.workloads:
            await self._kubectl("rollout", "status", workload, f"--timeout={self.wait_s}s")

    async def _kubectl(self, *arguments: str) -> bytes:
        argv = [
            "kubectl",
            "--context",
            self.context,
            "--namespace",
            self.namespace,
            "--request-timeout=30s",
            *arguments,
        ]
        if arguments[0] == "rollout":
            argv.remove("--request-timeout=30s")  # it would end the watch
        # What the API server offers is asked once and not for each command.
        exit_code, output = await self.shell.run(argv, env={"KUBECACHEDIR": str(self.shell.home / "cache")})
        if exit_code == 0:
            return output
        if _AWAY.search(output):
            raise UnreachableError(f"The cluster of {self.context} does not answer.", tail(output))
        how = "took too long" if exit_code is None else f"ended with {exit_code}"
        raise TargetError(f"`kubectl {' '.join(arguments[:2])}` {how}.", tail(output))

    def _kept(self, release_id: str) -> Path:
        assert _ID.fullmatch(release_id), release_id
        return self.shell.home / release_id

    def _render(self, release: ReleaseFacts) -> None:
        source = (release.folder / self.manifests).resolve()
        if not source.is_relative_to(release.folder.resolve()) or not source.exists():
            raise TargetError(f"The artefact has no {self.manifests!r}.", "See `manifests` of the target.")
        place = self._kept(release.release_id)
        fresh = place.with_name(f"{place.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        found = [source] if source.is_file() else sorted(source.rglob("*"))
        for path in found:
            if path.is_file() and path.suffix in (".yaml", ".yml", ".json"):
                name = "-".join(path.relative_to(source).parts) if path != source else path.name
                text = Template(path.read_text(encoding="utf-8")).safe_substitute(release.env())
                (fresh / name).write_text(text, encoding="utf-8")
        shutil.rmtree(place, ignore_errors=True)
        fresh.replace(place)
