"""A folder whose files become deliveries, each once: looked through again and again, taken by one rename.

    FOLDER/order.md                  dropped; taken once it has stood still for `settle_s`
    FOLDER/.mohist/DELIVERY.order.md taken, not on record yet; whoever finds it records it under the same key
    FOLDER/order.md.result           what became of it, as JSON
    FOLDER/order.md.refused          the file, where it can't be used

What is no plain file of an owner who may, is left where it is: links (also hard ones, by which somebody could offer a file
that is not theirs), pipes, and what others own. A writer that pauses for longer than `settle_s` must write elsewhere on the
same disk, or under a name that begins with a dot, and rename.
"""

from __future__ import annotations

import json
import os
import pwd
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from mohist.base import Clock, IdSource
from mohist.delivery.errors import FieldError, TriggerError
from mohist.delivery.trigger.setting import Drop
from mohist.delivery.trigger.template import Template

SUFFIXES: Final = (".md", ".txt", ".json")
ROOM: Final = ".mohist"
RESULT: Final = ".result"
REFUSED: Final = ".refused"
_LONGEST_NAME_BYTES: Final = 200
"""So that a name with a delivery's id before it is one still."""
_OPEN: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_IN: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Dropped:
    """A file that was taken."""

    delivery_id: str
    """The id that its delivery is to have."""
    name: str
    requirement: str
    """Empty where it can't be used."""
    why_not: str = ""


@dataclass(slots=True)
class DropFolder:
    """One trigger's folder, as one process looks at it.

    Args:
        drop: the folder and its bounds.
        template: makes the requirement of a file; None: its own words.
        clock: tells how long a file has stood still.
        ids: of deliveries.
    """

    drop: Drop
    template: Template | None
    clock: Clock
    ids: IdSource
    left: dict[str, str] = field(default_factory=dict)
    """Files that are left alone, by name, and why."""
    _seen: dict[str, tuple[tuple[int, ...], float]] = field(default_factory=dict)

    def taken(self, most: int) -> list[Dropped]:
        """What was taken and is not finished: from before, and at most `most` more.

        Raises:
            TriggerError: the folder can't be used.
        """
        with self._open() as (folder, room):
            found = [self._read(room, name) for name in _names(room) if "." in name]
            for name in self._settled(folder)[:most] if most > 0 else ():
                delivery_id = self.ids.new("dlv")
                taken = f"{delivery_id}.{name}"
                try:
                    os.rename(name, taken, src_dir_fd=folder, dst_dir_fd=room)
                except OSError:
                    # Another worker was quicker, or it was taken back.
                    continue
                found.append(self._read(room, taken))
            return [one for one in found if one is not None]

    def finish(self, one: Dropped, told: dict[str, Any]) -> None:
        """Writes the result beside where the file was. What was taken is removed, as it is on record now; what can't be
        used is laid beside it as `NAME.refused`."""
        with self._open() as (folder, room):
            self._tell(folder, one.name, told)
            taken = f"{one.delivery_id}.{one.name}"
            with suppress(FileNotFoundError):
                if one.why_not:
                    os.rename(taken, one.name + REFUSED, src_dir_fd=room, dst_dir_fd=folder)
                else:
                    os.unlink(taken, dir_fd=room)

    def tell(self, name: str, told: dict[str, Any]) -> None:
        """Writes another result."""
        with self._open() as (folder, _):
            self._tell(folder, name, told)

    @contextmanager
    def _open(self) -> Iterator[tuple[int, int]]:
        """The folder and the room in it, for this process alone."""
        path = self.drop.folder
        try:
            folder = os.open(path, _IN)
        except OSError as error:
            raise TriggerError(f"The folder {str(path)!r} can't be read: {error.strerror}.", "Make it.") from None
        try:
            mode = os.fstat(folder).st_mode
            if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
                raise TriggerError(f"Everybody may write in {str(path)!r}.", f"chmod o-w {path}")
            try:
                with suppress(FileExistsError):
                    os.mkdir(ROOM, 0o700, dir_fd=folder)
                room = os.open(ROOM, _IN, dir_fd=folder)
            except OSError as error:
                told = f"{str(path / ROOM)!r} can't be used: {error.strerror}."
                raise TriggerError(told, "The worker's account must own it.") from None
            try:
                facts = os.fstat(room)
                if facts.st_uid != os.geteuid() or facts.st_mode & 0o022:
                    raise TriggerError(f"{str(path / ROOM)!r} is not this account's alone.", "Remove it.")
                yield folder, room
            finally:
                os.close(room)
        finally:
            os.close(folder)

    def _settled(self, folder: int) -> list[str]:
        """Files that have stood still, in the order of their names."""
        now_s = self.clock.monotonic_s()
        seen: dict[str, tuple[tuple[int, ...], float]] = {}
        left: dict[str, str] = {}
        ready: list[str] = []
        for name in _names(folder):
            if name.startswith(".") or not name.endswith(SUFFIXES):
                continue
            try:
                facts = os.stat(name, dir_fd=folder, follow_symlinks=False)
            except OSError:
                continue
            if why := self._unfit(name, facts):
                left[name] = why
                continue
            as_is = (facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
            before = self._seen.get(name)
            since_s = before[1] if before and before[0] == as_is else now_s
            seen[name] = as_is, since_s
            if now_s - since_s >= self.drop.settle_s:
                ready.append(name)
        self._seen, self.left = seen, left
        return ready

    def _unfit(self, name: str, facts: os.stat_result) -> str:
        """Why a file is not taken; empty: it may be."""
        if not stat.S_ISREG(facts.st_mode):
            return "it is no plain file"
        if facts.st_nlink != 1:
            return "it has another name elsewhere (a hard link)"
        if facts.st_uid not in self._owners():
            return "its owner is not among the trigger's owners"
        if facts.st_size > self.drop.max_bytes:
            return f"it is larger than {self.drop.max_bytes} bytes"
        if len(os.fsencode(name)) > _LONGEST_NAME_BYTES:
            return "its name is too long"
        return ""

    def _owners(self) -> set[int]:
        owners = {os.geteuid()}
        for name in self.drop.owners:
            with suppress(KeyError):
                owners.add(pwd.getpwnam(name).pw_uid)
        return owners

    def _read(self, room: int, taken: str) -> Dropped | None:
        """A taken file; what it is now is looked at anew, on what is open."""
        delivery_id, _, name = taken.partition(".")
        try:
            handle = os.open(taken, _OPEN, dir_fd=room)
        except FileNotFoundError:
            return None  # another worker has finished it
        except OSError as error:
            return Dropped(delivery_id, name, "", f"it can't be read: {error.strerror}")
        with os.fdopen(handle, "rb") as file:
            if why := self._unfit(name, os.fstat(handle)):
                return Dropped(delivery_id, name, "", why)
            data = file.read(self.drop.max_bytes + 1)
        if len(data) > self.drop.max_bytes:
            return Dropped(delivery_id, name, "", f"it is larger than {self.drop.max_bytes} bytes")
        try:
            return Dropped(delivery_id, name, self._words(name, data))
        except FieldError as error:
            return Dropped(delivery_id, name, "", str(error.what))

    def _words(self, name: str, data: bytes) -> str:
        document: Any
        if name.endswith(".json"):
            try:
                document = orjson.loads(data)
            except orjson.JSONDecodeError:
                raise FieldError("It is no JSON.") from None
            return (self.template or Template("{/requirement}")).filled(document)
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise FieldError("It is not UTF-8 text.") from None
        return text if self.template is None else self.template.filled({"text": text, "name": name})

    def _tell(self, folder: int, name: str, told: dict[str, Any]) -> None:
        # By rename: nobody reads half of it, and a link in its place is replaced, not followed.
        part = f"{ROOM}/{os.getpid()}-result"
        with suppress(FileNotFoundError):
            os.unlink(part, dir_fd=folder)
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644, dir_fd=folder)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(json.dumps({"file": name, **told}, indent=2) + "\n")
        os.rename(part, name + RESULT, src_dir_fd=folder, dst_dir_fd=folder)


def _names(folder: int) -> list[str]:
    """What is in an open folder; pathlib knows no open ones."""
    return sorted(os.listdir(folder))
