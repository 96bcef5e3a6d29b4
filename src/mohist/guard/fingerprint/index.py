"""The index of registered repositories: one file of sorted hashes, and the search in it."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from mohist.base import canonical_json
from mohist.guard.errors import GuardDataError, GuardRuleError
from mohist.guard.fingerprint.token import EXACT_TOKENS, FORMAT, KEPT_OF, NAMES_BACK, SHAPE_TOKENS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mohist.guard.fingerprint.token import Hashes

MAGIC = b"MOHISTFP"
HEADER_MAX_BYTES = 1 << 24
_FILTER_BITS = (16, 24)
"""Fewest and most: sixteen places a hash, so that one of sixteen others passes."""
_HASH_BYTES = 8
_PARAMETERS = {"exact": EXACT_TOKENS, "shape": SHAPE_TOKENS, "kept_of": KEPT_OF, "names_back": NAMES_BACK}


@dataclass(frozen=True, slots=True, eq=False)
class Repository:
    """What is known of one registered repository: no code, only hashes of stretches of it."""

    name: str
    data_class: str
    files: int
    """How many files were read."""
    exact: Hashes
    shape: Hashes
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
        public_exact: Hashes | None = None,
        public_shape: Hashes | None = None,
    ) -> None:
        import numpy as np

        empty = np.zeros(0, dtype=np.uint64)
        self.repositories = tuple(repositories)
        self._public_exact = empty if public_exact is None else public_exact
        self._public_shape = empty if public_shape is None else public_shape
        self._exact = _Sought.of([repository.exact for repository in repositories], self._public_exact)
        self._shape = _Sought.of([repository.shape for repository in repositories], self._public_shape)

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

    def exact(self, hashes: Hashes) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Which of these are a repository's: their places, and the repository's number for each."""
        return self._exact.find(hashes)

    def shape(self, hashes: Hashes) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The same of shapes."""
        return self._shape.find(hashes)

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

    def with_public(self, exact: Hashes, shape: Hashes) -> Index:
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
        body = b"".join(array.astype("<u8").tobytes() for array in [*arrays, self._public_exact, self._public_shape])
        content = MAGIC + struct.pack("<I", len(encoded)) + encoded + body
        return content + sha256(content).digest()

    @classmethod
    def from_bytes(cls, content: bytes) -> Index:
        """Reads what `to_bytes` wrote.

        Raises:
            GuardDataError: it is damaged, or of another format.
        """
        import numpy as np

        fresh = "Register the repositories anew: mohist guard register PATH --name NAME."
        head = len(MAGIC) + 4
        if len(content) < head + 32 or not content.startswith(MAGIC) or sha256(content[:-32]).digest() != content[-32:]:
            raise GuardDataError("The index of fingerprints is damaged.", fresh)
        (size,) = struct.unpack_from("<I", content, len(MAGIC))
        try:
            header = json.loads(content[head : head + size])
            if header["format"] != FORMAT or header["parameters"] != _PARAMETERS:
                raise GuardDataError("The index of fingerprints was written by another version of Mohist.", fresh)
            rows: list[dict[str, Any]] = header["repositories"]
            lengths = [row[stream] for row in [*rows, header["public"]] for stream in ("exact", "shape")]
            at = head + size
            arrays = []
            for length in lengths:
                arrays.append(np.frombuffer(content, dtype="<u8", count=length, offset=at))
                at += length * _HASH_BYTES
            repositories = [
                Repository(str(row["name"]), str(row["class"]), int(row["files"]), arrays[2 * number], arrays[2 * number + 1])
                for number, row in enumerate(rows)
            ]  # fmt: skip
        except (KeyError, TypeError, ValueError) as error:
            raise GuardDataError(f"The index of fingerprints can't be read: {error}.", fresh) from None
        return cls(repositories, arrays[-2], arrays[-1])


@dataclass(frozen=True, slots=True, eq=False)
class _Sought:
    """Sorted hashes with their owners, behind a filter that most others don't pass."""

    hashes: Hashes
    owners: NDArray[np.intp]
    filter: NDArray[np.bool_]
    shift: np.uint64

    @classmethod
    def of(cls, arrays: Iterable[Hashes], public: Hashes) -> _Sought:
        import numpy as np

        listed = list(arrays)
        every = np.concatenate([np.zeros(0, dtype=np.uint64), *listed])
        owners = np.concatenate(
            [np.zeros(0, dtype=np.intp), *(np.full(len(array), number) for number, array in enumerate(listed))]
        )
        ours = ~np.isin(every, public) if len(public) else np.ones(len(every), dtype=np.bool_)
        every, owners = every[ours], owners[ours]
        hashes, first = np.unique(every, return_index=True)
        bits = min(max((16 * len(hashes)).bit_length(), _FILTER_BITS[0]), _FILTER_BITS[1])
        shift = np.uint64(64 - bits)
        held = np.zeros(1 << bits, dtype=np.bool_)
        held[(hashes >> shift).astype(np.intp)] = True
        return cls(hashes, owners[first], held, shift)

    def find(self, hashes: Hashes) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        import numpy as np

        nothing = np.zeros(0, dtype=np.intp)
        if not len(self.hashes) or not len(hashes):
            return nothing, nothing
        likely = np.flatnonzero(self.filter[(hashes >> self.shift).astype(np.intp)])
        if not len(likely):
            return nothing, nothing
        at = np.searchsorted(self.hashes, hashes[likely])
        at[at == len(self.hashes)] = 0
        found = self.hashes[at] == hashes[likely]
        return likely[found], self.owners[at[found]]
