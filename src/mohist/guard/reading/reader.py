"""All readings of one text, the plain one first, encodings within encodings down to a depth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mohist.guard.errors import GuardLimitError
from mohist.guard.limit import Limits
from mohist.guard.reading import base, escape, fold, join, turn
from mohist.guard.reading.trigger import fired
from mohist.guard.view import View

_Decoder = Callable[[View, int, Limits], View | None]


def _simple(decode: Callable[[View, int], View | None]) -> _Decoder:
    return lambda view, start, _: decode(view, start)


_DECODERS: Mapping[str, _Decoder] = {
    "escape": _simple(escape.escapes),
    "url": _simple(escape.url),
    "html": _simple(escape.html),
    "quoted-printable": _simple(escape.quoted_printable),
    "base64": base.base64_text,
    "compressed": base.compressed,
    "base32": _simple(base.base32),
    "hex": _simple(base.hexadecimal),
    "codes": _simple(base.codes),
    "spacing": _simple(join.spacing),
    "utf-16": _simple(join.utf16),
    "diff": _simple(join.diff),
    "concatenation": _simple(join.concatenation),
    "line": _simple(join.line),
    "unicode": _simple(fold.unicode),
    "rot13": _simple(turn.rot13),
    "mirrored": _simple(turn.mirrored),
}
_HIDING = frozenset({"base64", "compressed", "base32", "hex", "codes"})
"""What is told where it is nested too deep to be undone; the others occur by chance in what was decoded."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The ways in which a text was read."""

    views: tuple[View, ...]
    too_deep: tuple[View, ...] = ()
    """Views that hold one more encoding than are undone."""


def readings(text: str, limits: Limits) -> Reading:
    """Reads a text.

    Raises:
        GuardLimitError: what it decodes to is larger than the limits allow.
    """
    plain = View(text)
    first = fired(plain)
    if not first:
        return Reading((plain,))
    views = [plain]
    deep: list[View] = []
    seen = {text}
    size, most = 0, limits.max_view_bytes + limits.max_view_times * len(text)
    layer = [plain]
    for depth in range(limits.max_layers + 1):
        following: list[View] = []
        for view in layer:
            for name, start in (first if view is plain else fired(view)).items():
                if depth == limits.max_layers and name not in _HIDING:
                    continue
                made = _DECODERS[name](view, start, limits)
                if made is None or made.text in seen:
                    continue
                if depth == limits.max_layers:
                    deep.append(view)
                    break
                seen.add(made.text)
                size += len(made.text)
                if size > most:
                    raise GuardLimitError(
                        f"A text decodes to more than {most} characters.", "Send it in smaller parts."
                    )
                following.append(made)
        views += following
        layer = following
        if not layer:
            break
    return Reading(tuple(views), tuple(deep))
