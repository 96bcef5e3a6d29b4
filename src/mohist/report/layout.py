"""The same words laid out otherwise: what formatters do to a line beside moving its blanks.

They put the other quotes, add and take commas and semicolons at ends, break a line at its brackets, and join what fits on one. Of what
a run wrote only hashes are known, so each way back is tried on the line as it is now: a line of the run counts only if all of it is there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from mohist.agent.attribution import line_hash
from mohist.report.blame import Origin
from mohist.report.writing import Write, Writings

MAX_PARTS = 12
"""Lines that one was broken into, or that were joined to one."""
MAX_CHARS = 400
"""Of all those together, without blanks."""
_SEAM = re.compile(r"(?<=[(\[{,])|(?=[)\]},.+\-*/|&<>=?:])|(?<=[+\-*/|&<>=?:])|(?<=\w)(?=\W)|(?<=\W)(?=\w)")
_OPENS = re.compile(r"[(\[{=]")
_GOES_ON = (*"([{,=+-*/|&<>.:?\\",)
"""A line that ends so is one that may have been broken here."""
_GOES_BACK = (*")]}.+-*/|&<>=?:", "and", "or", "if", "else")
"""A line that begins so may have been broken off the one above."""
_TRAILING = re.compile(r",(?=[)\]}])")


def bare(text: str) -> str:
    """A line without its blanks."""
    return "".join(text.split())


def spellings(text: str) -> Iterator[str]:
    """Other spellings of a line as a whole, without blanks."""
    line = bare(text)
    for ended in {line, line.rstrip(",;"), f"{line},", f"{line};"}:
        for quoted in {ended, ended.replace('"', "'"), ended.replace("'", '"')}:
            if quoted != line and quoted:
                yield quoted


def respelled(writings: Writings, lines: Sequence[Origin]) -> dict[int, list[Write]]:
    """Lines by number, with the writes of a line that says the same in another spelling."""
    wanted = {line.number: [line_hash(each) for each in spellings(line.text)] for line in lines}
    found = writings.by_line({digest for digests in wanted.values() for digest in digests}, bare=True)
    hits = {number: [w for one in digests for w, _ in found.get(one, ())] for number, digests in wanted.items()}
    return {number: writes for number, writes in hits.items() if writes}


def broken(writings: Writings, lines: Sequence[Origin], open_numbers: set[int]) -> dict[int, list[Write]]:
    """Lines that together are one that was written.

    Args:
        writings: the index.
        lines: of one file, in order.
        open_numbers: where a search begins: lines of which nothing is known.
    """
    windows: dict[str, list[tuple[int, ...]]] = {}
    for at, line in enumerate(lines):
        if line.number not in open_numbers:
            continue
        text, numbers = bare(line.text), [line.number]
        below = bare(lines[at + 1].text) if at + 1 < len(lines) else ""
        if not text or not (text.endswith(_GOES_ON) or below.startswith(_GOES_BACK)):
            continue
        for after in lines[at + 1 : at + MAX_PARTS]:
            text += bare(after.text)
            if after.number != numbers[-1] + 1 or len(text) > MAX_CHARS:
                break
            numbers.append(after.number)
            for whole in {text, _TRAILING.sub("", text)}:
                windows.setdefault(line_hash(whole), []).append(tuple(numbers))
    hits: dict[int, list[Write]] = {}
    for digest, found in writings.by_line(windows, bare=True).items():
        for numbers_of in windows[digest]:
            for number in numbers_of:
                hits.setdefault(number, []).extend(write for write, _ in found)
    return hits


def joined(writings: Writings, lines: Sequence[Origin]) -> dict[int, list[Write]]:
    """Lines, each of which is several that were written below each other."""
    prefixes: dict[str, list[tuple[int, str, int]]] = {}
    for line in lines:
        text = bare(line.text)
        if len(text) > MAX_CHARS:
            continue
        # Which was written on several lines was opened at the end of the first.
        for seam in {found.end() for found in _OPENS.finditer(text)} - {len(text)}:
            prefixes.setdefault(line_hash(text[:seam]), []).append((line.number, text, seam))
    hits: dict[int, list[Write]] = {}
    for digest, found in writings.by_line(prefixes, bare=True).items():
        for number, text, seam in prefixes[digest]:
            for write, first in found:
                if _follows(writings.lines_after(write.entry, first, MAX_PARTS), text, seam):
                    hits.setdefault(number, []).append(write)
    return hits


def _seams(text: str) -> list[int]:
    return sorted({found.start() for found in _SEAM.finditer(text)} - {0, len(text)})


def _follows(after: Mapping[int, str], text: str, seam: int) -> bool:
    """Whether the rest of a line is what was written below its beginning."""
    ends = [*_seams(text), len(text)]
    for digest in after.values():
        for end in ends:
            if end <= seam:
                continue
            part = text[seam:end]
            closes = text[end : end + 1] in (")", "]", "}") and end < len(text)
            if line_hash(part) == digest or (closes and line_hash(f"{part},") == digest):
                seam = end
                break
        else:
            return False
        if seam == len(text):
            return True
    return False
