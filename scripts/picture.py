"""Draws a terminal session as SVG: runs a command on a pseudo-terminal and shows what it printed.

    python scripts/picture.py docs/pictures/demo.svg ./mohist demo

The picture is made from a real run; nothing in it is written by hand but the prompt line.
"""

from __future__ import annotations

import html
import os
import pty
import re
import sys
from pathlib import Path

COLUMNS = 110
LINE_PX = 19
CHAR_PX = 8.43
COLOURS = {"31": "#f47067", "32": "#6bc46d", "33": "#daaa3f", "34": "#539bf5", "36": "#56d4dd"}
SGR = re.compile(r"\x1b\[([\d;]*)m")


def captured(command: list[str]) -> str:
    """Everything `command` prints on a terminal."""
    pieces: list[bytes] = []

    def read(descriptor: int) -> bytes:
        piece = os.read(descriptor, 65536)
        pieces.append(piece)
        return b" "

    os.environ |= {"COLUMNS": str(COLUMNS), "TERM": "xterm-256color"}
    sink = os.open(os.devnull, os.O_WRONLY)
    keep = os.dup(1)
    os.dup2(sink, 1)
    try:
        pty.spawn(command, read)
    finally:
        os.dup2(keep, 1)
    return b"".join(pieces).decode("utf-8", "replace").replace("\r\n", "\n")


def rows(text: str) -> list[str]:
    """Lines cut to the width of the picture, their colours kept."""
    made = []
    for line in text.split("\n"):
        visible, out = 0, ""
        for part in re.split(r"(\x1b\[[\d;]*m)", line):
            if part.startswith("\x1b"):
                out += part
                continue
            while visible + len(part) > COLUMNS:
                room = COLUMNS - visible
                room = part.rfind(" ", 1, room + 1) if " " in part[1 : room + 1].strip() else room
                made.append(out + part[:room])
                part, visible, out = "    " + part[room:].lstrip(), 0, ""
            out, visible = out + part, visible + len(part)
        made.append(out)
    return made


def spans(line: str) -> str:
    """One line as tspans."""
    made, style = "", ""
    for index, part in enumerate(SGR.split(line)):
        if index % 2:
            codes = part.split(";")
            style = "" if codes in ([""], ["0"]) else style
            for code in codes:
                if code == "1":
                    style += ' font-weight="bold"'
                elif code == "2":
                    style += ' fill="#8b97a5"'
                elif code in COLOURS:
                    style += f' fill="{COLOURS[code]}"'
        elif part:
            text = html.escape(part, quote=False)
            made += f"<tspan{style}>{text}</tspan>" if style else text
    return made


def draw(lines: list[str]) -> str:
    """The SVG."""
    width, height = round(COLUMNS * CHAR_PX + 40), len(lines) * LINE_PX + 62
    body = "\n".join(
        f'<text x="20" y="{56 + number * LINE_PX}" xml:space="preserve">{spans(line)}</text>'
        for number, line in enumerate(lines)
    )
    dots = "".join(
        f'<circle cx="{22 + 20 * n}" cy="20" r="6" fill="{c}"/>'
        for n, c in enumerate(("#f47067", "#daaa3f", "#6bc46d"))
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">\n'
        f'<rect width="{width}" height="{height}" rx="10" fill="#22272e"/>{dots}\n'
        '<g font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,DejaVu Sans Mono,monospace" font-size="14" fill="#cdd9e5">\n'
        f"{body}\n</g>\n</svg>\n"
    )


def main() -> None:
    target, command = Path(sys.argv[1]), sys.argv[2:]
    target.parent.mkdir(parents=True, exist_ok=True)
    text = captured(command)
    shown = " ".join(command)
    target.write_text(draw([f"\x1b[32m$\x1b[0m \x1b[1m{shown}\x1b[0m", *rows(text.rstrip("\n"))]), encoding="utf-8")


if __name__ == "__main__":
    main()
