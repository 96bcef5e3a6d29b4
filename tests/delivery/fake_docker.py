"""Stands in for `docker` where no container can be started: the flags of `docker compose` that its reference documents,
strictly, and images that move under their tags. https://docs.docker.com/reference/cli/docker/compose/"""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path

STATE = Path(os.environ["MOHIST_TARGET"])


def resolved(text: str) -> str:
    """What `config` prints: variables filled in."""
    return re.sub(r"\$\{(\w+)\}", lambda found: os.environ[found.group(1)], text)


def main() -> int:
    parser = argparse.ArgumentParser(prog="docker", allow_abbrev=False)
    parser.add_argument("compose", choices=["compose"])
    parser.add_argument("--project-name", required=True)
    parser.add_argument("--project-directory")
    parser.add_argument("-f", dest="file", required=True)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", allow_abbrev=False)
    commands.add_parser("pull", allow_abbrev=False).add_argument("--quiet", action="store_true")
    commands.add_parser("config", allow_abbrev=False).add_argument("--resolve-image-digests", action="store_true")
    commands.add_parser("down", allow_abbrev=False).add_argument("--remove-orphans", action="store_true")
    up = commands.add_parser("up", allow_abbrev=False)
    for flag in ("--detach", "--no-build", "--remove-orphans", "--wait"):
        up.add_argument(flag, action="store_true")
    up.add_argument("--wait-timeout", type=int)
    asked = parser.parse_args()
    text = resolved(Path(asked.file).read_text(encoding="utf-8"))
    with (STATE / "calls").open("a", encoding="utf-8") as calls:
        calls.write(f"{asked.project_name} {asked.command}\n")
    running = STATE / "running"
    match asked.command:
        case "config":
            if asked.resolve_image_digests:
                tags = dict(line.split() for line in (STATE / "registry").read_text(encoding="utf-8").splitlines())
                text = re.sub(r"image: (\S+)", lambda found: f"image: {tags[found.group(1)]}", text)
            sys.stdout.write(text)
        case "pull" if "gone" in text:
            sys.stderr.write("manifest unknown")
            return 18
        case "up":
            running.write_text(text, encoding="utf-8")
            if "unhealthy" in text:
                sys.stderr.write("container shop-web-1 is unhealthy")
                return 1
        case "down":
            running.unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
