"""The file that holds the list of a company's own secrets: hashes only, never a value."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from secrets import token_hex

from mohist.guard.errors import GuardDataError, GuardRuleError
from mohist.guard.secret.listed import Listed, Trace

FORMAT = 1
FILE_MAX_BYTES = 64 << 20
FILE_NAME = "guard-listed.json"


def listed_path(home: Path) -> Path:
    """Where the list is kept unless the settings name another file."""
    return home / FILE_NAME


class Register:
    """One list in one file. Changes are written whole, readable by their owner alone.

    Args:
        path: of the file; absent means empty.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> tuple[Listed, ...]:
        """The list.

        Raises:
            GuardDataError: it can't be read, or others may write it: then secrets could be taken off it unseen.
        """
        try:
            with self._path.open("rb") as file:
                state = os.fstat(file.fileno())
                data = file.read(FILE_MAX_BYTES + 1)
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise GuardDataError(f"The list of secrets {str(self._path)!r} can't be read ({error.strerror}).") from None
        if state.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise GuardDataError(f"The list of secrets {str(self._path)!r} may be changed by others.", "chmod 600 it.")
        from mohist.guard.secret.shape import listed_file

        read = listed_file(data)
        if read is None:
            raise GuardDataError(f"The list of secrets {str(self._path)!r} is damaged.")
        if read.format != FORMAT:
            raise GuardDataError(f"The list of secrets has format {read.format}; this program reads {FORMAT}.")
        return tuple(
            Listed(one.label, tuple(Trace(**trace.model_dump()) for trace in one.traces)) for one in read.secrets
        )

    def add(self, secrets: tuple[Listed, ...]) -> None:
        """Puts secrets on the list; one of the same label is replaced.

        Raises:
            GuardDataError: the list can't be read or written.
        """
        labels = {one.label for one in secrets}
        self._write((*(one for one in self.read() if one.label not in labels), *secrets))

    def remove(self, label: str) -> None:
        """Takes one off.

        Raises:
            GuardRuleError: there is none of that label.
            GuardDataError: the list can't be read or written.
        """
        before = self.read()
        after = tuple(one for one in before if one.label != label)
        if len(after) == len(before):
            raise GuardRuleError(f"No secret is listed as {label!r}.")
        self._write(after)

    def _write(self, secrets: tuple[Listed, ...]) -> None:
        content = {
            "format": FORMAT,
            "secrets": [
                {
                    "label": one.label,
                    "traces": [
                        {"form": t.form, "length_bytes": t.length_bytes, "gram": t.gram, "mac": t.mac}
                        for t in one.traces
                    ],
                }
                for one in secrets
            ],
        }
        draft = self._path.with_name(f".{self._path.name}.{token_hex(4)}")
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                with open(handle, "w", encoding="utf-8") as file:
                    json.dump(content, file, indent=1)
                    file.flush()
                    os.fsync(file.fileno())
                draft.replace(self._path)
            except OSError:
                draft.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise GuardDataError(
                f"The list of secrets {str(self._path)!r} can't be written ({error.strerror})."
            ) from None
