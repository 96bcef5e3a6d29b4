"""Finds the text that an edit means, strictly first, with tolerance only inside the found span.

Tiers, each tried when the one before found nothing: exact, trailing whitespace, indentation shift,
Unicode look-alikes. Within a tier there must be one place, or the edit is refused.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from mohist.agent.tool.diff import common_start
from mohist.agent.tool.errors import ToolError
from mohist.agent.tool.text import Document, Splice

Tier = Literal["exact", "trailing whitespace", "indentation", "look-alike characters"]

# One to one, so that offsets stay. Names: https://www.unicode.org/charts/PDF/U2000.pdf
_LOOK_ALIKES = str.maketrans(
    {
        "\u2018": "'", "\u2019": "'", "\u201a": "'", "\u201b": "'", "\u2032": "'", "\u02bc": "'", "\uff07": "'",
        "\u201c": '"', "\u201d": '"', "\u201e": '"', "\u201f": '"', "\u2033": '"', "\uff02": '"',
        "\u2010": "-", "\u2011": "-", "\u2012": "-", "\u2013": "-", "\u2014": "-", "\u2015": "-", "\u2212": "-",
        "\uff0d": "-", "\u00a0": " ", "\u2002": " ", "\u2003": " ", "\u2007": " ", "\u2009": " ", "\u202f": " ",
        "\u3000": " ", "\uff08": "(", "\uff09": ")", "\uff0c": ",", "\uff1a": ":", "\uff1b": ";",
    }
)  # fmt: skip
_MOST_LINES_COMPARED = 20_000
_MOST_PLACES_NAMED = 12


@dataclass(frozen=True, slots=True)
class Found:
    """One place of an edit, and what to put there."""

    splice: Splice
    tier: Tier
    line: int


def find(document: Document, old: str, new: str, every: bool, label: str) -> list[Found]:
    """Where `old` (LF endings) stands, with the replacement for each place cut down to what differs.

    Raises ToolError, telling lines, when it stands nowhere, at several places (unless `every`), or when `new` is the same.
    """
    if not old:
        raise ToolError(
            f"{label}: 'old' is empty.",
            "Give the text to replace; to add, give a line beside it and repeat it in 'new'.",
        )
    if old == new:
        raise ToolError(f"{label}: 'old' and 'new' are the same, nothing would change.")
    exact = _places(document.view, old)
    if exact and (len(exact) == 1 or every):
        apart = _apart(exact, len(old))
        return [Found(_trimmed(at, old, new), "exact", document.line_at(at)) for at in apart]
    if exact:
        raise _ambiguous(document, [document.line_at(at) for at in exact], "exact", label)
    for tier, found in _tolerant(document, old, new):
        if len(found) == 1:
            return found
        if found:
            raise _ambiguous(document, [one.line for one in found], tier, label)
    raise _missing(document, old, new, label)


def _tolerant(document: Document, old: str, new: str) -> Iterator[tuple[Tier, list[Found]]]:
    wanted = old.removesuffix("\n").split("\n")
    if any(line.strip() for line in wanted):
        yield "trailing whitespace", _by_lines(document, old, new, wanted, "trailing whitespace")
        yield "indentation", _by_lines(document, old, new, wanted, "indentation")
    plain = old.translate(_LOOK_ALIKES)
    places = _places(document.view.translate(_LOOK_ALIKES), plain)
    yield (
        "look-alike characters",
        [Found(_trimmed(at, old, new), "look-alike characters", document.line_at(at)) for at in places],
    )


def _places(view: str, old: str) -> list[int]:
    """All starts, overlapping ones too: those are ambiguous as well."""
    found = []
    at = view.find(old)
    while at >= 0:
        found.append(at)
        at = view.find(old, at + 1)
    return found


def _apart(places: list[int], size: int) -> list[int]:
    kept: list[int] = []
    for at in places:
        if not kept or at >= kept[-1] + size:
            kept.append(at)
    return kept


def _trimmed(at: int, old: str, new: str) -> Splice:
    """Leaves out the common start and end of `old` and `new`: what the model only repeats stays as it is in the file."""
    head = common_start(old, new)
    tail = common_start(old[head:][::-1], new[head:][::-1])
    return Splice(at + head, at + len(old) - tail, new[head : len(new) - tail])


def _by_lines(document: Document, old: str, new: str, wanted: list[str], tier: Tier) -> list[Found]:
    """Places where whole lines are as `wanted` but for whitespace at their end, or also a constant indentation."""
    lines = document.lines
    anchor = next(index for index, line in enumerate(wanted) if line.strip())
    key = wanted[anchor].strip()
    found = []
    for number, line in enumerate(lines):
        first = number - anchor
        if line.strip() != key or first < 0 or first + len(wanted) > len(lines):
            continue
        shift = _shift(lines[first : first + len(wanted)], wanted, tier)
        splice = None if shift is None else _line_splice(document, first, old, new, shift)
        if splice is not None:
            found.append(Found(splice, tier, first + 1))
    return found


def _line_splice(document: Document, first: int, old: str, new: str, shift: tuple[str, str]) -> Splice | None:
    """Replaces the lines from index `first` that stand for `old`; lines that `new` only repeats stay as they are.

    None when `new` can't be indented like the file.
    """
    ended = old.endswith("\n")
    if ended and new.endswith("\n"):
        old, new, ended = old[:-1], new[:-1], False
    wanted, rows = old.removesuffix("\n").split("\n"), new.split("\n")
    head = common_start(wanted, rows)
    tail = 0 if ended else common_start(wanted[head:][::-1], rows[head:][::-1])
    middle = [_shifted(row, shift) for row in rows[head : len(rows) - tail]]
    kept = [row for row in middle if row is not None]
    if len(kept) < len(middle):
        return None
    starts, lines = document.starts, document.lines
    after = first + len(wanted)
    if tail:
        return Splice(starts[first + head], starts[after - tail], "".join(row + "\n" for row in kept))
    end = starts[after - 1] + len(lines[after - 1])
    if ended:
        end = starts[after] if after < len(lines) else len(document.view)
    if head and not ended:
        last_kept = first + head - 1
        return Splice(starts[last_kept] + len(lines[last_kept]), end, "".join("\n" + row for row in kept))
    return Splice(starts[first + head] if head < len(wanted) else end, end, "\n".join(kept))


def _shifted(row: str, shift: tuple[str, str]) -> str | None:
    add, take = shift
    if not row.strip():
        return row
    return add + row[len(take) :] if row.startswith(take) else None


def _shift(there: list[str], wanted: list[str], tier: Tier) -> tuple[str, str] | None:
    """(indentation to add to the model's lines, indentation to take away), one of them empty; None: no match."""
    if tier == "trailing whitespace":
        same = all(one.rstrip() == other.rstrip() for one, other in zip(there, wanted, strict=True))
        return ("", "") if same else None
    shift: tuple[str, str] | None = None
    for one, other in zip(there, wanted, strict=True):
        if one.strip() != other.strip():
            return None
        if not one.strip():
            continue
        mine, theirs = _indent(one), _indent(other)
        if mine.endswith(theirs):
            this = (mine[: len(mine) - len(theirs)], "")
        elif theirs.endswith(mine):
            this = ("", theirs[: len(theirs) - len(mine)])
        else:
            return None
        if shift is not None and shift != this:
            return None
        shift = this
    return shift


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip(" \t"))]


def _ambiguous(document: Document, lines: list[int], tier: Tier, label: str) -> ToolError:
    named = ", ".join(str(line) for line in lines[:_MOST_PLACES_NAMED])
    more = f" and {len(lines) - _MOST_PLACES_NAMED} more" if len(lines) > _MOST_PLACES_NAMED else ""
    how = "" if tier == "exact" else f" (but for {tier})"
    all_hint = ", or set all=true to change every one" if tier == "exact" else ""
    return ToolError(
        f"{label}: 'old' stands at {len(lines)} places{how}: lines {named}{more} of {len(document.lines)}.",
        f"Add lines around it until it is unique{all_hint}.",
    )


def _missing(document: Document, old: str, new: str, label: str) -> ToolError:
    rows = [line for line in old.split("\n") if line.strip()]
    if rows and all(re.match(r"\s*\d+\t", row) for row in rows):
        return ToolError(f"{label}: 'old' not found.", "Leave out the line numbers that read puts before each line.")
    if new.strip() and (at := document.view.find(new)) >= 0:
        return ToolError(f"{label}: 'old' not found, but 'new' already stands at line {document.line_at(at)}.")
    near = _nearest(document.lines, max(rows, key=len, default=old).strip())
    mend = f"Nearest lines:\n{near}" if near else "No line is like it; read the file again."
    return ToolError(f"{label}: 'old' not found.", mend)


def _nearest(lines: list[str], wanted: str) -> str:
    matcher = difflib.SequenceMatcher(autojunk=False)
    matcher.set_seq2(wanted[:200])
    scored = []
    for number, line in enumerate(lines[:_MOST_LINES_COMPARED], 1):
        matcher.set_seq1(line.strip()[:200])
        if matcher.real_quick_ratio() > 0.6 and matcher.quick_ratio() > 0.6 and (ratio := matcher.ratio()) > 0.6:
            scored.append((-ratio, number, line))
    best = sorted(sorted(scored)[:3], key=lambda item: item[1])
    return "\n".join(f"{number}\t{line[:200]}" for _, number, line in best)
