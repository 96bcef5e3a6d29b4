"""Sees which files a shell command changed, and keeps what they held before.

A command can touch anything in the workspace. Comparing each file's stat before and after finds what
it changed; what a file held before comes from what the run itself kept or from git's objects of the
base commit. Files that git ignores and symlinks are not watched. Bounded by settings; what is not covered is said.

What the tree should look like follows from the log alone (`expected`), so that after a kill the changes of an
interrupted call are found by comparing (`TreeWatch.keep_dirty`).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio.to_thread

from mohist.agent.content import Content, look
from mohist.agent.log import RunLog
from mohist.agent.record import FileChange, Found, Fragment, Intent, Kept, Outcome, PreImage, Record, Undone
from mohist.agent.setting import RunSettings

Stamp = tuple[int, int, int, int]
"""mtime ns, ctime ns, size, mode."""

UNKNOWN = "unknown"
"""In the place of a sha256 for a content that nobody has kept: it can't be restored."""

_NAMES_TOLD = 20


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Stat of every watched file at one moment."""

    stamps: dict[str, Stamp]


ListFiles = Callable[[], Awaitable[list[str]]]
"""Paths relative to the root of tracked files and untracked ones that are not ignored."""
BaseContent = Callable[[str], Awaitable[bytes | None]]
"""What a path held in the base commit; None: nothing."""


class TreeWatch:
    """Watches one workspace during one run."""

    def __init__(
        self, root: Path, log: RunLog, list_files: ListFiles, base_content: BaseContent, settings: RunSettings
    ) -> None:
        self._root = root
        self._log = log
        self._list_files = list_files
        self._base_content = base_content
        self._settings = settings
        self._kept_bytes = 0
        self._known: dict[str, str | None] = {}
        """Path to sha256 of the content that was kept last; None: known to be absent."""
        self._last: dict[str, Stamp] | None = None
        """The newest stamps: a file whose stamp differs when the next call starts was changed by somebody else."""
        self._too_many = False

    @property
    def covered(self) -> bool:
        """False when the tree has more files than are watched."""
        return not self._too_many

    async def keep_dirty(self, dirty: Sequence[str]) -> list[str]:
        """Keeps what differs from the base; returns the paths that were too large to keep.

        The first time in a run that is what the user has not committed, and a Kept record says so. After a
        resume it also finds what an interrupted call changed, and a Found record and a note to the model say that.
        """
        records = self._log.records
        began = any(isinstance(record, Kept) for record in records)
        interrupted = began and _interrupted(records)
        names = list(dict.fromkeys([*dirty, *(self._names(expected(records)) if interrupted else ())]))
        looked = await anyio.to_thread.run_sync(self._keep_now, names)
        if not began:
            self._log.append(Kept(tuple(self._image(name, content) for name, content in looked.items())))
        elif interrupted:
            await self._find(looked)
        return [name for name, content in looked.items() if content is not None and content.data is None]

    def wrote(self, path: Path, sha256: str | None) -> None:
        """An edit tool wrote `path`; its content is known from now on."""
        if not path.is_relative_to(self._root):
            return
        name = path.relative_to(self._root).as_posix()
        if sha256 is None:
            self._known[name] = None
        else:
            content = look(self._root, path, self._settings.undo_file_bytes)
            if content is not None and content.sha256 == sha256:
                self._keep(name, content)

    async def snapshot(self) -> Snapshot | None:
        """The tree now, before a call; None when it has too many files to watch.

        What others (the user, a job in the background) changed since the last call is kept as it is now.
        """
        found = await self._stat()
        if found is not None:
            if self._last is not None:
                others = [name for name, stamp in found.stamps.items() if self._last.get(name) != stamp]
                self._known.update(dict.fromkeys(self._last.keys() - found.stamps.keys()))
                await anyio.to_thread.run_sync(self._keep_now, others)
            self._last = found.stamps
        return found

    async def changes(self, before: Snapshot) -> tuple[FileChange, ...]:
        """Files that differ from `before`, with both contents kept where the bounds allow."""
        after = await self._stat()
        if after is None:
            return ()
        self._last = after.stamps
        changed = [
            name
            for name in sorted(before.stamps.keys() | after.stamps.keys())
            if before.stamps.get(name) != after.stamps.get(name)
        ]
        if any(Path(name).name == ".gitignore" for name in changed):
            # What is listed now may have been there, ignored, all the time: undo must never delete it.
            newest_ns = max((stamp[1] for stamp in before.stamps.values()), default=0)
            changed = [name for name in changed if name in before.stamps or after.stamps[name][1] > newest_ns]
            appeared: str | None = UNKNOWN
        else:
            appeared = None
        held = {name: await self._held(name) if name in before.stamps else appeared for name in changed}
        looked = await anyio.to_thread.run_sync(self._keep_now, changed)
        found = []
        for name in changed:
            now = looked[name]
            mode = before.stamps[name][3] & 0o7777 if name in before.stamps else 0
            if now is not None and now.sha256 == held[name] and now.mode == mode:
                continue
            found.append(FileChange(str(self._root / name), held[name], now.sha256 if now else None, mode))
        return tuple(found)

    async def _find(self, looked: dict[str, Content | None]) -> None:
        """Says what differs from what the log makes expect."""
        wanted = expected(self._log.records)
        since_ms = _interrupted_at_ms(self._log)
        found = []
        for name, content in sorted(looked.items()):
            path = self._root / name
            before = wanted.get(str(path), UNKNOWN)
            if before == UNKNOWN:
                base = await self._base_content(name)
                before = None if base is None else self._log.save_blob(base)
            now = content.sha256 if content else None
            # A file last changed before the call began is the user's.
            if now != before and (now is None or _changed_ms(path) >= since_ms):
                mode = content.mode if content and before is not None else 0
                found.append(FileChange(str(path), before, now, mode))
        self._log.append(Found(tuple(found)))
        if found:
            names = [Path(change.path).relative_to(self._root).as_posix() for change in found]
            more = f" and {len(names) - _NAMES_TOLD} more" if len(names) > _NAMES_TOLD else ""
            text = f"Changed since the call that was interrupted began: {', '.join(names[:_NAMES_TOLD])}{more}."
            self._log.append(Fragment("changes found", text))

    async def _held(self, name: str) -> str | None:
        """What a file that is there holds, as far as anybody kept it."""
        if name in self._known:
            return self._known[name]
        content = await self._base_content(name)
        return UNKNOWN if content is None else self._log.save_blob(content)

    def _keep_now(self, names: Iterable[str]) -> dict[str, Content | None]:
        """Looks at files and keeps them; the data is not held on to. Blocks."""
        looked: dict[str, Content | None] = {}
        for name in names:
            content = look(self._root, self._root / name, self._settings.undo_file_bytes)
            if content is None:
                self._known[name] = None
                looked[name] = None
            else:
                kept = self._keep(name, content)
                looked[name] = Content(content.sha256, content.mode, b"" if kept else None)
        return looked

    def _keep(self, name: str, content: Content) -> bool:
        """True when the content can be had again."""
        if self._known.get(name) == content.sha256:
            return True
        self._known[name] = content.sha256
        if content.data is None or self._kept_bytes + len(content.data) > self._settings.undo_total_bytes:
            return False
        self._log.save_blob(content.data)
        self._kept_bytes += len(content.data)
        return True

    def _image(self, name: str, content: Content | None) -> PreImage:
        return PreImage(str(self._root / name), content.sha256 if content else None, content.mode if content else 0)

    def _names(self, wanted: dict[str, str | None]) -> list[str]:
        paths = [Path(path) for path in wanted]
        return [path.relative_to(self._root).as_posix() for path in paths if path.is_relative_to(self._root)]

    async def _stat(self) -> Snapshot | None:
        names = await self._list_files()
        self._too_many = len(names) > self._settings.undo_files
        return None if self._too_many else await anyio.to_thread.run_sync(self._stat_all, names)

    def _stat_all(self, names: list[str]) -> Snapshot:
        stamps: dict[str, Stamp] = {}
        for name in names:
            try:
                found = os.lstat(self._root / name)
            except OSError:
                continue
            if stat.S_ISREG(found.st_mode):
                stamps[name] = (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_mode)
        return Snapshot(stamps)


def expected(records: Iterable[Record]) -> dict[str, str | None]:
    """Path to sha256 of what each file should hold by the log (None: be absent); any other is as in the base."""
    wanted: dict[str, str | None] = {}
    first: dict[str, str | None] = {}
    for record in records:
        match record:
            case Kept(files=files):
                wanted.update({image.path: image.blob for image in files})
            case Outcome(written=changes) | Found(files=changes):
                for change in changes:
                    first.setdefault(change.path, change.before)
                    wanted[change.path] = change.after
            case Undone(restored=restored):
                wanted.update({path: first.pop(path) for path in restored if path in first})
            case _:
                pass
    return wanted


def _interrupted(records: Sequence[Record]) -> bool:
    """True when a call's effect is unknown and nobody has looked for it yet."""
    for record in reversed(records):
        if isinstance(record, Found | Kept):
            return False
        if isinstance(record, Outcome) and record.status == "unknown":
            return True
    return False


def _interrupted_at_ms(log: RunLog) -> int:
    """When the first of the interrupted calls began."""
    unknown: set[str] = set()
    for record in reversed(log.records):
        if isinstance(record, Found | Kept):
            break
        if isinstance(record, Outcome) and record.status == "unknown":
            unknown.add(record.call_id)
    times = [e.at_ms for e in log.entries if isinstance(e.record, Intent) and e.record.call_id in unknown]
    return min(times, default=0)


def _changed_ms(path: Path) -> int:
    try:
        return path.lstat().st_ctime_ns // 1_000_000
    except OSError:
        return 0
