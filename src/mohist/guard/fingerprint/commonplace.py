"""What everybody writes: stretches of code that several public projects have, shipped as data.

Made by scripts/update_commonplace.py from packages of permissive licences; holds parts of hashes, no code.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from mohist.guard.errors import GuardDataError
from mohist.guard.fingerprint.stretch import CHECK_BITS, FORMAT

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mohist.guard.fingerprint.stretch import Keys
    from mohist.guard.fingerprint.token import Words

MAGIC = b"MOHISTCP"
PART_BITS = 26
"""Of the 31 bits of a kept hash: so few that the file is small, and one of a hundred other stretches is taken for a commonplace."""
_DROPPED_BITS = 31 - PART_BITS
_STEP_MAX = (1 << 16) - 1


@dataclass(frozen=True, slots=True, eq=False)
class Commonplace:
    """Parts of the hashes of commonplaces, sorted, each once."""

    exact: Words
    shape: Words

    @classmethod
    def of(cls, exact: Keys, shape: Keys) -> Commonplace:
        """Of the keys of stretches."""
        import numpy as np

        return cls(np.unique(_parts(exact)), np.unique(_parts(shape)))

    def own(self, exact: Keys, shape: Keys) -> tuple[Keys, Keys]:
        """Of the keys of stretches those that are no commonplace."""
        import numpy as np

        return exact[~np.isin(_parts(exact), self.exact)], shape[~np.isin(_parts(shape), self.shape)]

    def to_bytes(self) -> bytes:
        """As it is kept: magic, format, and compressed for each row its length and the steps from one part to the next."""
        rows = b"".join(_steps(row) for row in (self.exact, self.shape))
        return MAGIC + bytes((FORMAT,)) + zlib.compress(rows, 9)

    @classmethod
    def from_bytes(cls, content: bytes) -> Commonplace:
        """Reads what `to_bytes` wrote.

        Raises:
            GuardDataError: it is damaged, or of another format.
        """
        import numpy as np

        if content[: len(MAGIC) + 1] != MAGIC + bytes((FORMAT,)):
            raise GuardDataError("The list of commonplace code is of another format.", "Install Mohist anew.")
        try:
            rows = zlib.decompress(content[len(MAGIC) + 1 :])
            parts, at = [], 0
            for _ in range(2):
                count = int.from_bytes(rows[at : at + 4], "little")
                low = np.frombuffer(rows, dtype=np.uint8, count=count, offset=at + 4)
                high = np.frombuffer(rows, dtype=np.uint8, count=count, offset=at + 4 + count)
                parts.append(np.cumsum(low + (high.astype(np.uint32) << np.uint32(8)), dtype=np.uint32))
                at += 4 + 2 * count
        except (zlib.error, ValueError) as error:
            raise GuardDataError(
                f"The list of commonplace code can't be read: {error}.", "Install Mohist anew."
            ) from None
        return cls(*parts)


def _parts(keys: Keys) -> Words:
    import numpy as np

    return (keys >> np.uint64(CHECK_BITS + _DROPPED_BITS)).astype(np.uint32)


def _steps(parts: Words) -> bytes:
    """Two bytes a step, first all low ones; where a step is longer, parts that nothing has stand between."""
    import numpy as np

    steps: NDArray[np.uint32] = np.diff(parts, prepend=np.uint32(0))
    whole = steps // np.uint32(_STEP_MAX)
    filled = np.full(len(steps) + int(whole.sum()), _STEP_MAX, dtype="<u2")
    filled[np.cumsum(whole + np.uint32(1)) - 1] = steps % np.uint32(_STEP_MAX)
    planes = filled.view(np.uint8).reshape(-1, 2)
    return len(filled).to_bytes(4, "little") + planes[:, 0].tobytes() + planes[:, 1].tobytes()


@cache
def commonplace() -> Commonplace:
    """What is shipped; read once."""
    return Commonplace.from_bytes(files("mohist.guard").joinpath("data", "commonplace.bin").read_bytes())
