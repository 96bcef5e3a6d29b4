"""The index of registered repositories: one file of sorted hashes, and the search in it."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from mohist.base import canonical_json
from mohist.guard.errors import GuardDataError, GuardRuleError
from mohist.guard.fingerprint.search import Search
from mohist.guard.fingerprint.stretch import CHECK_BITS, EXACT_TOKENS, FORMAT, KEPT_BELOW, SHAPE_TOKENS
from mohist.guard.fingerprint.token import NAMES_BACK

if TYPE_CHECKING:
    from mohist.guard.fingerprint.search import Owners
    from mohist.guard.fingerprint.stretch import Keys, Stretches
    from mohist.guard.fingerprint.token import Places

MAGIC = b"MOHISTFP"
KEY_BYTES = 6
"""As kept: all hashes of a row, in four bytes each, then all their checks, in two."""
_PARAMETERS = {
    "exact": EXACT_TOKENS,
    "shape": SHAPE_TOKENS,
    "kept_below": KEPT_BELOW,
    "check_bits": CHECK_BITS,
    "names_back": NAMES_BACK,
}


@dataclass(frozen=True, slots=True, eq=False)
class Repository:
    """What is known of one registered repository: no code, only hashes of stretches of it."""

    name: str
    data_class: str
    files: int
    """How many files were read."""
    exact: Keys
    shape: Keys
    """Sorted, each once."""


class Index:
    """Registered repositories, and public code whose hashes count for nothing.

    Args:
        repositories: by different names.
        public_exact: sorted hashes of public code.
        public_shape: the same of shapes.
    """

    def __init__(
        self,
        repositories: Sequence[Repository] = (),
        public_exact: Keys | None = None,
        public_shape: Keys | None = None,
    ) -> None:
        import numpy as np

        empty = np.zeros(0, dtype=np.uint64)
        self.repositories = tuple(repositories)
        self._public_exact = empty if public_exact is None else public_exact
        self._public_shape = empty if public_shape is None else public_shape
        self._exact = Search.of([repository.exact for repository in repositories], self._public_exact)
        self._shape = Search.of([repository.shape for repository in repositories], self._public_shape)

    def __len__(self) -> int:
        return len(self.repositories)

    @property
    def public_hashes(self) -> int:
        """How many hashes of public code are known."""
        return len(self._public_exact) + len(self._public_shape)

    @property
    def digest(self) -> str:
        """Names the content; changes with it."""
        return sha256(self.to_bytes()).hexdigest()[:16]

    def exact(self, stretches: Stretches) -> tuple[Places, Owners]:
        """Which of these are a repository's: their numbers, and the repository's for each."""
        return self._exact.find(stretches)

    def shape(self, stretches: Stretches) -> tuple[Places, Owners]:
        """The same of shapes."""
        return self._shape.find(stretches)

    def with_repository(self, repository: Repository) -> Index:
        """Registers; one of the same name is replaced."""
        others = [known for known in self.repositories if known.name != repository.name]
        return Index([*others, repository], self._public_exact, self._public_shape)

    def without(self, name: str) -> Index:
        """Forgets a repository.

        Raises:
            GuardRuleError: none has this name.
        """
        others = [known for known in self.repositories if known.name != name]
        if len(others) == len(self.repositories):
            known = ", ".join(repository.name for repository in self.repositories) or "none"
            raise GuardRuleError(f"No repository is registered as {name!r}.", f"Registered: {known}.")
        return Index(others, self._public_exact, self._public_shape)

    def with_public(self, exact: Keys, shape: Keys) -> Index:
        """Learns public code; what a registered repository shares with it no longer counts."""
        import numpy as np

        return Index(self.repositories, np.union1d(self._public_exact, exact), np.union1d(self._public_shape, shape))

    def renamed_class(self, name: str, data_class: str) -> Index:
        """The same with another data class for one repository."""
        return Index(
            [replace(known, data_class=data_class) if known.name == name else known for known in self.repositories],
            self._public_exact,
            self._public_shape,
        )

    def to_bytes(self) -> bytes:
        """As it is kept: magic, length of the header, header (JSON), arrays (little endian), SHA-256 of all before it."""
        header = {
            "format": FORMAT,
            "parameters": _PARAMETERS,
            "repositories": [
                {"name": known.name, "class": known.data_class, "files": known.files, "exact": len(known.exact), "shape": len(known.shape)}
                for known in self.repositories
            ],
            "public": {"exact": len(self._public_exact), "shape": len(self._public_shape)},
        }  # fmt: skip
        arrays = [array for known in self.repositories for array in (known.exact, known.shape)]
        written = canonical_json(header)
        encoded = written if isinstance(written, bytes) else written.encode("utf-8")
        body = b"".join(_packed(array) for array in [*arrays, self._public_exact, self._public_shape])
        content = MAGIC + struct.pack("<I", len(encoded)) + encoded + body
        return content + sha256(content).digest()

    @classmethod
    def from_bytes(cls, content: bytes, path: str = "the file") -> Index:
        """Reads what `to_bytes` wrote.

        Args:
            content: whole.
            path: where it was kept, for a person.

        Raises:
            GuardDataError: it is damaged, or of another format: what a hash of then is now can't be told.
        """
        fresh = f"Remove {path}, and register the repositories anew: mohist guard register PATH --name NAME."
        head = len(MAGIC) + 4
        if len(content) < head + 32 or not content.startswith(MAGIC) or sha256(content[:-32]).digest() != content[-32:]:
            raise GuardDataError("The index of fingerprints is damaged.", fresh)
        (size,) = struct.unpack_from("<I", content, len(MAGIC))
        try:
            header = json.loads(content[head : head + size])
            if header["format"] != FORMAT or header["parameters"] != _PARAMETERS:
                held = ", ".join(str(row["name"]) for row in header["repositories"]) or "none"
                raise GuardDataError(
                    f"The index of fingerprints was written by another version of Mohist. Registered in it: {held}.",
                    fresh,
                )
            rows: list[dict[str, Any]] = header["repositories"]
            lengths = [row[stream] for row in [*rows, header["public"]] for stream in ("exact", "shape")]
            at = head + size
            arrays = []
            for length in lengths:
                arrays.append(_unpacked(content, at, length))
                at += length * KEY_BYTES
            repositories = [
                Repository(str(row["name"]), str(row["class"]), int(row["files"]), arrays[2 * number], arrays[2 * number + 1])
                for number, row in enumerate(rows)
            ]  # fmt: skip
        except (KeyError, TypeError, ValueError) as error:
            raise GuardDataError(f"The index of fingerprints can't be read: {error}.", fresh) from None
        return cls(repositories, arrays[-2], arrays[-1])


def _packed(keys: Keys) -> bytes:
    import numpy as np

    return (keys >> np.uint64(CHECK_BITS)).astype("<u4").tobytes() + keys.astype("<u2").tobytes()


def _unpacked(content: bytes, at: int, count: int) -> Keys:
    import numpy as np

    hashes = np.frombuffer(content, dtype="<u4", count=count, offset=at)
    checks = np.frombuffer(content, dtype="<u2", count=count, offset=at + 4 * count)
    keys: Keys = hashes.astype(np.uint64) << np.uint64(CHECK_BITS)
    keys |= checks
    return keys
