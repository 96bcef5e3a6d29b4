"""`mohist guard releases`: what was let pass, by whom and why; ends one early."""

from __future__ import annotations

import argparse
import json
import os

from mohist.base import ExitCode, StatePaths, SystemClock
from mohist.cli.guard_release import moment, shown, who


def declare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--all", action="store_true", help="those too that are over")
    parser.add_argument("--end", default="", metavar="RELEASE", help="end this one now")
    parser.add_argument("--json", action="store_true", help="one JSON array")


def main(args: argparse.Namespace) -> int:
    from mohist.app.database import gateway_settings
    from mohist.app.evidence import evidence_here, release_entry
    from mohist.gateway.address import home_address
    from mohist.gateway.screen.archive import Archive
    from mohist.terminal import plain

    now_ms = SystemClock().now_ms()
    paths = StatePaths.from_env(os.environ)
    address = home_address(paths.home, gateway_settings(os.environ).variables)
    with evidence_here(os.environ) as evidence, Archive(address) as archive:
        if args.end:
            archive.end_release(args.end, now_ms, who(), release_entry(evidence))
        releases = archive.releases(None if args.all else now_ms)
    if args.json:
        print(json.dumps([shown(release) for release in releases], indent=2))
        return ExitCode.DONE
    for release in releases:
        until = "for good" if release.until_ms is None else f"until {moment(release.until_ms)}"
        ended = "" if release.ended_at_ms is None else f", ended {moment(release.ended_at_ms)} by {release.ended_by}"
        rule = f" found by {release.rule}" if release.rule else ""
        line = f"{release.release_id}  {release.digest[:12]}{rule} {until}{ended}: {release.user}, {moment(release.at_ms)}: "
        print(plain(line + release.because))
    if not releases:
        print("Nothing is let pass.")
    return ExitCode.DONE
