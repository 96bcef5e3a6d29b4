"""Stage 5, Verify: what the change is worth by exit codes, in clean copies of the base and of the change.

1. the project's checks are taken from the base, where the change does not reach
2. each criterion's check runs on the base: there it must fail, or be absent
3. the project's checks, then the criteria's run on the change; what fails is repeated, to tell flaky from broken
4. where something fails or the tests may be fewer, the project's check runs on the base too
5. a criterion's check that passes also runs on the base with the change's tests laid over it: there it must fail
6. the diff is inspected for weakened checks, dependencies, licences and what the guard finds
7. `verdict.verdict_of` tells from the evidence whether it holds

Each run is a row of evidence with its own id; asked for again after a kill, what has its row is not run again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, Protocol

import anyio.to_thread

from mohist.base import Clock, canonical_json, sha256_hex
from mohist.delivery.book import Book
from mohist.delivery.check.count import count_of
from mohist.delivery.check.detect import MANIFESTS, Detected, ProjectCheck, configured, detect
from mohist.delivery.check.diff import ChangedFile, finding, split_diff
from mohist.delivery.check.inspection import fewer, inspect
from mohist.delivery.check.leak import Scan, leak_findings
from mohist.delivery.check.licence import read_rule
from mohist.delivery.check.shelf import Shelf, tells_licence
from mohist.delivery.check.suite import is_test
from mohist.delivery.desk import lay_out
from mohist.delivery.environment import DELIVER_FILE
from mohist.delivery.port import Ground, Ran
from mohist.delivery.spec import SPEC_FILE, folder_of, parse
from mohist.delivery.state import Criterion, Delivery, Evidence, Finding, Spec
from mohist.delivery.verdict import PROBE, Verified, state_of, verdict_of

_TAIL_CHARS = 4000
_SEEN_FILES = 30
_LARGEST_BYTES = 1_000_000
_UNRUNNABLE = (126, 127)
"""A shell's codes for a program that is not there or can't be run: another try finds no more."""
_VENDORING = frozenset({"go.mod", "go.sum", "Cargo.toml", "Cargo.lock"})
"""Manifests of ecosystems that keep packages in `vendor/`."""
BY = "verify"
"""Who says the findings of this stage."""
Phase = Literal["before", "after"]


class Site(Ground, Protocol):
    """The ground, with what an inspection of two whole trees needs besides."""

    async def tree(self, commit: str) -> str: ...

    async def renamed(self, base: str, commit: str) -> Sequence[tuple[str, str, str]]: ...

    async def contents(self, commit: str, paths: Sequence[str]) -> Mapping[str, bytes]: ...


@dataclass(frozen=True, slots=True)
class VerifySettings:
    """How checks are run."""

    checks: tuple[str, ...] = ()
    """`checks` of mohist.toml; empty: what the project's files say."""
    repeats: int = 3
    """How often a check that failed is run again; 0: never."""
    timeout_s: float = 1800.0
    """Of one run of one command."""
    network: bool = False
    shelf: Shelf = dataclasses.field(default_factory=Shelf)
    """Where licences of packages are read; what the change vendors is added to it."""


@dataclass(slots=True)
class Verify:
    """Runs the stage for one delivery; safe to run again."""

    ground: Site
    book: Book
    clock: Clock
    settings: VerifySettings = dataclasses.field(default_factory=VerifySettings)
    scan: Scan | None = None
    """The guard's; None: it is switched off."""

    async def __call__(self, delivery: Delivery, criteria: Sequence[Criterion]) -> Verified:
        """Gathers the evidence of `delivery.commit` that is not there yet, and says what it is worth."""
        return await _Bench(self, delivery).verify(criteria)


@dataclass(slots=True)
class _Bench:
    """One pass of the stage."""

    stage: Verify
    delivery: Delivery
    known: dict[str, Evidence] = dataclasses.field(default_factory=dict)
    trees: dict[str, str] = dataclasses.field(default_factory=dict)
    copies: dict[str, Path] = dataclasses.field(default_factory=dict)
    entries: Sequence[tuple[str, str, str]] = ()
    """What differs, as `renamed` gives it."""
    spec: Spec | None = None
    """The agreed one: its check files are laid over the base, which does not have them."""

    async def verify(self, criteria: Sequence[Criterion]) -> Verified:
        await self._open()
        rows: list[Evidence] = []
        try:
            detected = await self._detect()
            first = {c.criterion_id: await self._before(c) for c in criteria if c.check}
            for check in detected.checks:
                rows += await self._project(check)
            found = _fewer(rows)
            for criterion in criteria:
                if criterion.check:
                    rows += await self._criterion(criterion, first[criterion.criterion_id])
            found += await self._inspect()
        finally:
            with anyio.CancelScope(shield=True):
                for name in self.copies:
                    await self.stage.ground.drop(self._key(name))
        await self._enter(found)
        verified = verdict_of(rows, criteria)
        worst = sum(row.severity in ("blocker", "major") for row in found)
        told = [detected.remark, f"{worst} findings to be weighed." if worst else ""]
        return dataclasses.replace(verified, remarks=(*verified.remarks, *(text for text in told if text)))

    async def _open(self) -> None:
        ground, delivery = self.stage.ground, self.delivery
        known = await anyio.to_thread.run_sync(self.stage.book.evidence, delivery.delivery_id)
        self.known = {row.evidence_id: row for row in known}
        self.spec = await anyio.to_thread.run_sync(self.stage.book.spec, delivery.delivery_id)
        for commit in (delivery.base_commit, delivery.commit):
            self.trees[commit] = await ground.tree(commit)
        self.entries = await ground.renamed(delivery.base_commit, delivery.commit)

    async def _detect(self) -> Detected:
        """The checks: of the base, so that a change can't choose what it is measured by; else its own."""
        if self.stage.settings.checks:
            return configured(self.stage.settings.checks)
        ground = self.stage.ground
        detected = Detected((), ())
        for commit in (self.delivery.base_commit, self.delivery.commit):
            files = await ground.files(commit)
            detected = detect(files, await ground.contents(commit, [name for name in MANIFESTS if name in files]))
            if detected.checks:
                break
        return detected

    async def _before(self, criterion: Criterion) -> Evidence:
        # Once more where it fails: a check that fails now and then proves nothing by having failed.
        return await self._run(criterion.criterion_id, criterion.check, "before", min(1, self.stage.settings.repeats))

    async def _project(self, check: ProjectCheck) -> list[Evidence]:
        after = await self._run(check.name, check.command, "after", self.stage.settings.repeats)
        # On the base as well where it fails, to tell whose doing that is, and for tests, to see whether they got fewer.
        if state_of(after) == "passes" and not check.name.startswith("tests") and count_of(after.output_tail) is None:
            return [after]
        return [await self._run(check.name, check.command, "before", self.stage.settings.repeats), after]

    async def _criterion(self, criterion: Criterion, before: Evidence) -> list[Evidence]:
        name, check = criterion.criterion_id, criterion.check
        after = await self._run(name, check, "after", self.stage.settings.repeats)
        rows = [before, after]
        failed = state_of(before) in ("fails", "absent")
        if criterion.kind == "behaviour" and failed and state_of(after) == "passes" and self._laid_over():
            rows.append(await self._run(f"{name}/{PROBE}", check, "before", 0, overlay=True))
        return rows

    async def _run(self, subject: str, command: str, phase: Phase, repeats: int, overlay: bool = False) -> Evidence:
        """The evidence of a command: the row that is there, or that of a run, repeated where it fails."""
        delivery, settings = self.delivery, self.stage.settings
        commit = delivery.base_commit if phase == "before" else delivery.commit
        tree = self.trees[commit] + (f"+{self.trees[delivery.commit]}" if overlay else "")
        if phase == "before" and self.spec is not None:
            tree += f"+spec:{self.spec.digest[:12]}"  # an edited check is another check
        marks = [delivery.delivery_id, delivery.attempt, subject, phase, command, tree]
        evidence_id = "ev-" + sha256_hex(canonical_json(marks))[:24]
        if evidence_id in self.known:
            return self.known[evidence_id]
        earlier = self._earlier(subject, command, tree) if phase == "before" else None
        if earlier is not None and (earlier.passes or earlier.runs > repeats):
            return await self._put(dataclasses.replace(earlier, evidence_id=evidence_id, attempt=delivery.attempt))
        folder = await self._copy("without-code" if overlay else phase, commit, overlay)
        first = await self.stage.ground.run(folder, command, settings.timeout_s, settings.network)
        runs, passes, duration_ms = 1, int(first.exit_code == 0), first.duration_ms
        if not passes and not first.timed_out and first.exit_code not in _UNRUNNABLE:
            for _ in range(repeats):
                again = await self.stage.ground.run(folder, command, settings.timeout_s, settings.network)
                runs, passes, duration_ms = (
                    runs + 1,
                    passes + int(again.exit_code == 0),
                    duration_ms + again.duration_ms,
                )
        return await self._put(Evidence(
            evidence_id, delivery.attempt, "verify", subject, phase, command, first.exit_code, first.output_sha256,
            _tail(first, settings.timeout_s), duration_ms, commit, tree, runs, passes, self.stage.clock.now_ms(),
        ))  # fmt: skip

    def _earlier(self, subject: str, command: str, tree: str) -> Evidence | None:
        """What an earlier attempt found on the same base, which no change has touched since."""
        for row in self.known.values():
            if (row.subject, row.phase, row.command, row.tree) == (subject, "before", command, tree):
                return row if row.exit_code is not None else None
        return None

    async def _put(self, row: Evidence) -> Evidence:
        await anyio.to_thread.run_sync(self.stage.book.put_evidence, self.delivery.delivery_id, row)
        self.known[row.evidence_id] = row
        return row

    async def _copy(self, name: str, commit: str, overlay: bool) -> Path:
        """The clean copy of this pass, made when the first command needs it."""
        if name not in self.copies:
            folder = await self.stage.ground.copy(self._key(name), commit)
            self.copies[name] = folder
            if overlay:
                paths = [new for letter, _, new in self._laid_over() if letter != "D"]
                contents = await self.stage.ground.contents(self.delivery.commit, paths)
                await anyio.to_thread.run_sync(_lay, folder, self._laid_over(), contents)
            if self.spec is not None:
                # The base does not have the checks, so all would fail there and prove nothing. And a change is measured by
                # the checks that were agreed on, whatever it holds in their place.
                await anyio.to_thread.run_sync(lay_out, folder, self.delivery.delivery_id, self.spec)
        return self.copies[name]

    def _laid_over(self) -> list[tuple[str, str, str]]:
        """What of the change is tests and nothing else."""
        return [entry for entry in self.entries if is_test(entry[2])]

    async def _inspect(self) -> list[Finding]:
        ground, delivery = self.stage.ground, self.delivery
        text = await ground.diff(delivery.base_commit, delivery.commit)
        lines = split_diff(text, self.entries)
        old = await ground.contents(delivery.base_commit, [path for letter, path, _ in self.entries if letter != "A"])
        new = await ground.contents(delivery.commit, [path for letter, _, path in self.entries if letter != "D"])
        files = [
            ChangedFile(letter, before, after, _text(old.get(before)), _text(new.get(after)), came, went)
            for (letter, before, after), (came, went) in zip(self.entries, lines, strict=True)
        ]
        policy = (await ground.contents(delivery.base_commit, [DELIVER_FILE])).get(DELIVER_FILE, b"")
        shelf = dataclasses.replace(self.stage.settings.shelf, vendored=await self._vendored())
        rule = read_rule(policy.decode("utf-8", "replace"))
        found = list(await anyio.to_thread.run_sync(inspect, files, await self._others(files), rule, shelf))
        found += await self._disagreed()
        if self.stage.scan is None:
            words = "The guard is switched off: the diff was not inspected for secrets and data."
            return [*found, finding("guard", "note", words)]
        return [*found, *await anyio.to_thread.run_sync(leak_findings, files, self.stage.scan)]

    async def _disagreed(self) -> list[Finding]:
        """What lies in the spec's folder of the change and is not what was agreed on: no run may write there, a person can."""
        if self.spec is None:
            return []
        ground, folder = self.stage.ground, folder_of(self.delivery.delivery_id)
        there = [path for path in await ground.files(self.delivery.commit) if path.startswith(f"{folder}/")]
        held = await ground.contents(self.delivery.commit, there)
        agreed = {f"{folder}/{SPEC_FILE}": self.spec.text.encode()}
        agreed |= {f"{folder}/{file.path}": file.content.encode() for file in parse(self.spec.text).files}
        words = "The change holds another {} than the spec that was agreed on; it was measured by the agreed one."
        return [
            finding("spec", "blocker", words.format(PurePosixPath(path).name), path)
            for path in sorted({*there, *agreed} if there else ())
            if held.get(path) != agreed.get(path)
        ]

    async def _vendored(self) -> dict[str, str]:
        """What the change holds of licences of packages that lie in it."""
        if not any(PurePosixPath(path).name in _VENDORING for _, _, path in self.entries):
            return {}
        commit = self.delivery.commit
        paths = [path for path in await self.stage.ground.files(commit) if tells_licence(path)]
        found = await self.stage.ground.contents(commit, paths)
        return {path: text for path, content in found.items() if (text := _text(content)) is not None}

    async def _others(self, files: Sequence[ChangedFile]) -> dict[str, str]:
        """Some files of the base of the kinds that are new, to see how files begin here."""
        kinds = {Path(file.path).suffix for file in files if file.letter == "A"}
        base = self.delivery.base_commit
        some: list[str] = []
        for kind in sorted(kinds - {""}):
            some += [path for path in await self.stage.ground.files(base) if path.endswith(kind)][:_SEEN_FILES]
        found = await self.stage.ground.contents(base, some)
        return {path: text for path, content in found.items() if (text := _text(content)) is not None}

    async def _enter(self, found: Sequence[Finding]) -> None:
        """Writes the findings; what an earlier attempt found and is not there any more is fixed."""
        name, book = self.delivery.delivery_id, self.stage.book
        known = {row.finding_id: row for row in await anyio.to_thread.run_sync(book.findings, name) if row.by == BY}
        for new in found:
            kept = known.pop(new.finding_id, None)
            waived = kept is not None and kept.status == "waived"
            row = dataclasses.replace(new, by=BY, status="waived" if waived else "open")
            await anyio.to_thread.run_sync(book.put_finding, name, row)
        for row in known.values():
            if row.status == "open":
                await anyio.to_thread.run_sync(book.put_finding, name, dataclasses.replace(row, status="fixed"))

    def _key(self, name: str) -> str:
        return f"{self.delivery.delivery_id}/{self.delivery.attempt}/verify-{name}"


def _fewer(rows: Sequence[Evidence]) -> list[Finding]:
    found: list[Finding] = []
    before = {row.subject: row for row in rows if row.phase == "before"}
    for row in rows:
        if row.phase == "after" and row.subject in before and row.passes:  # a broken run tells no number
            found += fewer(row.subject, count_of(before[row.subject].output_tail), count_of(row.output_tail))
    return found


def _lay(folder: Path, entries: Sequence[tuple[str, str, str]], contents: Mapping[str, bytes]) -> None:
    """Puts a change's tests over a copy; never through a link, for the copy's own may lead anywhere."""
    for _, old, new in entries:
        for path in (old, new):
            if _inside(folder, path):
                (folder / path).unlink(missing_ok=True)
        if new in contents and _inside(folder, new):
            (folder / new).parent.mkdir(parents=True, exist_ok=True)
            (folder / new).write_bytes(contents[new])


def _inside(folder: Path, path: str) -> bool:
    return (folder / path).parent.resolve().is_relative_to(folder.resolve()) and not (folder / path).is_dir()


def _tail(ran: Ran, timeout_s: float) -> str:
    text = ran.output.decode("utf-8", "replace")
    if ran.timed_out:
        text += f"\n[killed after {timeout_s:g} s]"
    return text[-_TAIL_CHARS:].replace("\0", "\ufffd")


def _text(content: bytes | None) -> str | None:
    """The text of a file; None for a binary or a very large one."""
    if content is None or b"\0" in content[:8000] or len(content) > _LARGEST_BYTES:
        return None
    return content.decode("utf-8", "replace")
