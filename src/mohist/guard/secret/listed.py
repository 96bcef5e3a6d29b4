"""A company's own secrets, found exactly: no rule, no guess, and no copy of them.

Kept of each form of a secret are its length, a keyed hash, and a short keyed number of its first eight bytes, which is what
makes the search fast. Who has the list and its key can try values on it, as on any list of hashes; who has the list alone can't.
"""

from __future__ import annotations

import hmac
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from mohist.guard.block import Block
from mohist.guard.detector import Hit, Match, Pattern
from mohist.guard.errors import GuardRuleError
from mohist.guard.secret.form import FORM_MIN_BYTES, forms
from mohist.guard.view import View

if TYPE_CHECKING:
    import numpy as np

_GRAM_BYTES = 8
_TABLE_BITS = 18
"""256 kB stay in a core's cache; a thousand forms then let one window in 260 through to the next test."""
_MAC_BYTES = 16
_LABEL_MAX = 64


@dataclass(frozen=True, slots=True)
class Trace:
    """What is kept of one form of one secret."""

    form: str
    length_bytes: int
    gram: int
    """A keyed number, 32 bits, of the first eight bytes."""
    mac: str
    """Keyed hash of the whole, 32 hex digits."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One secret of the list."""

    label: str
    """What people call it; shown with a finding."""
    traces: tuple[Trace, ...]


class Tracer:
    """Makes traces under a company's key.

    Args:
        key: secret; the same on all machines that share the list.
    """

    def __init__(self, key: bytes) -> None:
        self._mac_key = hmac.digest(key, b"mohist listed mac", sha256)
        # An odd factor makes the product a permutation of the windows, whose upper bits depend on all of them.
        self._factor = int.from_bytes(hmac.digest(key, b"mohist listed gram", sha256)[:8], "little") | 1

    def listed(self, label: str, value: str) -> Listed:
        """Lists a secret.

        Raises:
            GuardRuleError: it is too short to be told from other text, or its label is not fit to be shown.
        """
        value = value.strip("\r\n")
        if not label or len(label) > _LABEL_MAX or not label.isprintable():
            raise GuardRuleError(f"A label has 1 to {_LABEL_MAX} printable characters.")
        if len(value.encode("utf-8")) < FORM_MIN_BYTES or len(set(value)) < FORM_MIN_BYTES // 2:
            raise GuardRuleError(
                f"The secret {label!r} is too short or too plain to be listed: it would be found by chance.",
                f"It needs {FORM_MIN_BYTES} bytes, {FORM_MIN_BYTES // 2} of them different.",
            )
        return Listed(
            label,
            tuple(Trace(name, len(form), self.gram(form), self.mac(form)) for form, name in forms(value).items()),
        )

    def mac(self, form: bytes) -> str:
        """The keyed hash of a form."""
        return hmac.digest(self._mac_key, form, sha256)[:_MAC_BYTES].hex()

    def gram(self, form: bytes) -> int:
        """The keyed number of its first eight bytes."""
        word = int.from_bytes(form[:_GRAM_BYTES], "little")
        word ^= word >> 29
        return (word * self._factor & (1 << 64) - 1) >> 32

    def grams(self, data: bytes) -> np.ndarray[Any, np.dtype[np.uint64]]:
        """The keyed numbers of all windows of eight bytes, in order."""
        import numpy as np

        windows: np.ndarray[Any, np.dtype[np.uint64]] = np.ndarray(
            shape=(len(data) - _GRAM_BYTES + 1,), dtype=np.dtype("<u8"), buffer=data, strides=(1,)
        ).astype(np.uint64)
        windows ^= windows >> np.uint64(29)
        windows *= np.uint64(self._factor)
        windows >>= np.uint64(32)
        return windows


class ListedDetector:
    """Finds listed secrets in any of their forms.

    Args:
        listed: the list; its labels differ.
        tracer: with the key that the list was made with.
    """

    name = "listed"
    patterns: Sequence[Pattern] = ()

    def __init__(self, listed: Iterable[Listed], tracer: Tracer) -> None:
        self._tracer = tracer
        self._traces: dict[int, list[tuple[str, Trace]]] = defaultdict(list)
        everything = hmac.new(b"version", digestmod=sha256)
        self._shortest = 0
        for one in listed:
            for trace in one.traces:
                self._traces[trace.gram].append((one.label, trace))
                everything.update(f"{one.label}\0{trace.mac}\0".encode())
                self._shortest = min(self._shortest or trace.length_bytes, trace.length_bytes)
        self.version = everything.hexdigest()[:16]

    @cached_property
    def _table(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        import numpy as np

        table = np.zeros(1 << _TABLE_BITS, dtype=np.bool_)
        for gram in self._traces:
            table[gram >> (32 - _TABLE_BITS)] = True
        return table

    def detect(self, view: View, block: Block, matches: Mapping[str, Sequence[Match]]) -> Iterable[Hit]:  # noqa: ARG002
        """See `mohist.guard.Detector`."""
        if not self._traces or len(view.text) < FORM_MIN_BYTES:
            return ()
        data = view.data
        if len(data) < self._shortest:
            return ()
        return list(self._hits(view, data))

    def _hits(self, view: View, data: bytes) -> Iterator[Hit]:
        import numpy as np

        grams = self._tracer.grams(data)
        places = np.flatnonzero(self._table[(grams >> np.uint64(32 - _TABLE_BITS)).astype(np.int64)])
        for place, gram in zip(places.tolist(), grams[places].tolist(), strict=True):
            for label, trace in self._traces.get(gram, ()):
                end = place + trace.length_bytes
                if end <= len(data) and hmac.compare_digest(self._tracer.mac(data[place:end]), trace.mac):
                    note = f"the listed secret {label!r}" + ("" if trace.form == "plain" else f", as {trace.form}")
                    yield Hit(f"listed.{label}", "secret.listed", view.char(place), view.char(end), 1.0, note)
