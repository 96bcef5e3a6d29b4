"""`mohist guard release`: lets one value pass, for a while or for good; who did it and why is kept."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import re
from datetime import UTC, datetime

from mohist.base import ExitCode, RandomIds, StatePaths, SystemClock

_UNITS = {"m": 60, "h": 3_600, "d": 86_400}
_MAX_S = 366 * 86_400
_MAX_CHARS = 500


def declare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("finding", metavar="ID", help="as the message and `mohist guard report` name it")
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--for", dest="duration_s", type=duration, metavar="TIME", help="such as 30m, 1h, 7d")
    length.add_argument("--for-good", action="store_true", help="it was found wrongly, or is public")
    parser.add_argument("--because", required=True, type=_reason, metavar="REASON", help="kept with your name")
    parser.add_argument("--rule", default="", metavar="RULE", help="only where this rule of a detector finds it")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def main(args: argparse.Namespace) -> int:
    from mohist.app.database import gateway_settings
    from mohist.app.evidence import evidence_here, release_entry
    from mohist.gateway.address import home_address
    from mohist.gateway.screen.archive import Archive, Release

    clock = SystemClock()
    now_ms = clock.now_ms()
    until_ms = None if args.for_good else now_ms + args.duration_s * 1000
    wanted = Release(RandomIds(clock).new("release"), "", args.rule, now_ms, until_ms, who(), args.because)
    paths = StatePaths.from_env(os.environ)
    address = home_address(paths.home, gateway_settings(os.environ).variables)
    with evidence_here(os.environ) as evidence, Archive(address) as archive:
        made = archive.release(args.finding, wanted, release_entry(evidence))
    if args.json:
        print(json.dumps(shown(made)))
    else:
        until = "for good" if until_ms is None else f"until {moment(until_ms)}"
        print(f"{made.digest[:12]} may pass {until} ({made.release_id}). Running servers know within two seconds.")
    return ExitCode.DONE


def shown(release: object) -> dict[str, object]:
    """A release for JSON."""
    names = ("release_id", "digest", "rule", "at_ms", "until_ms", "user", "because", "ended_at_ms", "ended_by")
    return {name: getattr(release, name) for name in names}


def who() -> str:
    """Who is at the keyboard, as the machine knows them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"


def moment(at_ms: int) -> str:
    """A time for people."""
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"


def duration(text: str) -> int:
    """Seconds of "30m", "1h", "7d"."""
    found = re.fullmatch(r"([1-9]\d{0,5})([mhd])", text)
    if found is None or (seconds := int(found[1]) * _UNITS[found[2]]) > _MAX_S:
        raise argparse.ArgumentTypeError(f"not a time like 30m, 1h or 7d, a year at most: {text!r}")
    return seconds


def _reason(text: str) -> str:
    if not text.strip() or len(text) > _MAX_CHARS or not text.isprintable():
        raise argparse.ArgumentTypeError(f"a reason of one line, {_MAX_CHARS} characters at most")
    return text.strip()
