"""Sets a terminal right after a Mohist that was killed in the middle of a governed run: `python -m mohist.app.govern.restore`.

A process of its own, started with each run in a terminal and ended with it. It waits for the end of the other, and then acts only
where the terminal still is as that one left it: a shell that was faster has set it to its own liking.
"""

from __future__ import annotations

import json
import os
import select
import sys
import termios
from collections.abc import Sequence
from contextlib import suppress

Attributes = list[object]
"""As `termios.tcgetattr` has them."""

_ALL_OFF = b"\x1b[?1049l\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1004l\x1b[?1006l\x1b[?2004l\x1b[?2026l\x1b[<u\x1b[?25h\x1b[?7h\x1b[0m"
"""What clients in a terminal switch on; which of it they did is not known here, and switching off what is off does nothing."""


def packed(attributes: Sequence[object]) -> str:
    """For an argument list."""
    *flags, characters = attributes
    assert isinstance(characters, list)
    return json.dumps([*flags, [one if isinstance(one, int) else one[0] for one in characters]])


def unpacked(text: str) -> Attributes:
    """Back again."""
    *flags, characters = json.loads(text)
    return [*flags, [bytes([one]) for one in characters]]


def main(argv: Sequence[str]) -> int:
    """Waits, and sets right.

    Args:
        argv: the process to wait for, the terminal's path, its attributes as that process left them, and as they shall be.
    """
    pid, path, left, wanted = argv
    with suppress(ProcessLookupError):
        watched = os.pidfd_open(int(pid))
        # It may be another process by now only if ours ended before it was opened; then its parent is not ours either.
        if os.getppid() == int(pid):
            select.select([watched], [], [])
    try:
        terminal = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return 0  # it is gone, too
    with suppress(OSError, termios.error):
        if packed(termios.tcgetattr(terminal)) == left:
            os.write(terminal, _ALL_OFF)
            termios.tcsetattr(terminal, termios.TCSANOW, unpacked(wanted))  # type: ignore[arg-type]
    os.close(terminal)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
