"""Feeds the guard's reading made-up bytes for a while, led by which code they reach; a crash is kept as a file.

Needs atheris (`pip install atheris`), which is not among the project's dependencies: it is 15 MB of compiler run time.
"""

from __future__ import annotations

import io
import sys
import time

import atheris

with atheris.instrument_imports(include=["mohist.guard"]):
    from mohist.guard import GuardError, Limits, Request
    from mohist.guard.archive import read_file
    from mohist.guard.file import Piece
    from mohist.guard.reading import readings

LIMITS = Limits(
    max_view_bytes=256 * 1024,
    max_archive_bytes=256 * 1024,
    max_archive_members=20,
    window_chars=2048,
    overlap_chars=256,
    max_leaves=2_000,
)
DIALECTS = ("openai-chat", "openai-responses", "anthropic-messages")
SLOWEST_S = 5.0
"""Of one input of at most some kilobytes; more is not linear any more."""


def one_input(data: bytes) -> None:
    """Any failure but a GuardError, a place outside of the text, and anything slow ends the run."""
    started_s = time.process_time()
    kind, data = data[:1], data[1:]
    if kind < b"\x60":
        _text(data.decode("utf-8", "surrogateescape"))
    elif kind < b"\xb0":
        _request(data, DIALECTS[kind[0] % 3])
    else:
        _file(data)
    if time.process_time() - started_s > SLOWEST_S:
        raise RuntimeError("too slow")


def _text(text: str) -> None:
    try:
        reading = readings(text, LIMITS)
    except GuardError:
        return
    assert reading.views[0].text == text
    for view in reading.views:
        last = (0, 0)
        for start in range(0, len(view.text), max(len(view.text) // 5, 1)):
            low, high = view.place(start, start + 1)
            assert 0 <= low <= high <= len(text), (view.via, start)
            last = (low, high)
        assert view.place(0, len(view.text))[1] >= last[0]


def _request(data: bytes, dialect: str) -> None:
    try:
        request = Request(data, dialect, LIMITS)  # type: ignore[arg-type]
        assert request.rewrite({}) is data
        # Another "type" or "role" would make another request of it.
        changes = {
            index: "x"
            for index, block in enumerate(request.blocks)
            if request.can_change(index) and block.path.rpartition("/")[2] in ("text", "content", "output")
        }
        changed = request.rewrite(changes)
    except GuardError:
        return
    texts = {block.path: block.text for block in Request(changed, dialect, LIMITS).blocks}  # type: ignore[arg-type]
    for index in changes:
        assert texts[request.blocks[index].path] == "x"


def _file(data: bytes) -> None:
    for piece in read_file("f", io.BytesIO(data), LIMITS):
        if isinstance(piece, Piece):
            length = len(piece.block.text)
            assert 0 <= piece.keep[0] <= piece.keep[1] <= length
            for at in (0, length // 2, length):
                assert piece.position(at).offset >= 0


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
