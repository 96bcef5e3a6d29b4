"""`mohist serve`: the gateway for model traffic."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mohist.base import ExitCode

if TYPE_CHECKING:
    from mohist.app.route import Served

EPILOG = """\
Takes OpenAI Chat Completions, OpenAI Responses and Anthropic Messages, for clients that hold a virtual key. A
call is identified, decided, held to its budgets, metered and recorded. In its own dialect it is passed on as it is, but
for a renamed model and the wish for usage; to an upstream of another dialect it is translated.

examples:
  mohist serve
  mohist serve --port 8484 --routes routes.toml
  mohist keys create --user ann          then, for Claude Code:
  ANTHROPIC_BASE_URL=http://127.0.0.1:8484 ANTHROPIC_AUTH_TOKEN=mhk-… claude
  mohist serve --record recorded         keeps upstreams' answers, for `replay` in routes: docs/gateway.md"""

_WHOM = ("key", "user", "project", "team")
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def declare(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=_port, default=8484, help="0 takes a free one (default: 8484)")
    parser.add_argument("--routes", type=Path, metavar="FILE", help="routes (default: routes.toml of the state folder)")
    parser.add_argument(
        "--policy",
        type=Path,
        metavar="FILE",
        help="rules (default: gateway-policy.toml of /etc/mohist, else of the state folder, if any)",
    )
    parser.add_argument(
        "--metrics-port",
        type=_port,
        metavar="PORT",
        help="serve /metrics there and not beside the calls; 0 takes a free one",
    )
    parser.add_argument("--metrics-host", default="127.0.0.1", metavar="HOST", help="address of --metrics-port")
    parser.add_argument(
        "--metrics-by",
        action="append",
        choices=_WHOM,
        default=[],
        help="who called as a label of the metrics; may be given several times (default: none)",
    )
    parser.add_argument(
        "--otlp-endpoint",
        default="",
        metavar="URL",
        help="send traces to this collector, such as http://127.0.0.1:4318",
    )
    parser.add_argument(
        "--record", type=Path, metavar="DIR", help="also record upstreams' answers, for `replay` in routes"
    )
    parser.add_argument(
        "--behind-tls", action="store_true", help="a proxy in front speaks TLS; needed to listen beyond this machine"
    )
    parser.add_argument(
        "--print-openapi", action="store_true", help="print the admin API's description, and serve nothing"
    )


def main(args: argparse.Namespace) -> int:
    if args.print_openapi:
        return _print_openapi()
    import anyio

    from mohist.app.observation import Observation
    from mohist.app.serve import run_gateway

    if args.host not in LOOPBACK and not args.behind_tls:
        print(
            f"mohist: keys would travel to {args.host!r} unencrypted.\n"
            "  Put a proxy with TLS in front and say --behind-tls, or listen on 127.0.0.1.",
            file=sys.stderr,
        )
        return ExitCode.USAGE
    # A third less CPU a call than the standard loop.
    options = {"use_uvloop": True}
    observation = Observation(
        open_here=args.host in LOOPBACK and not args.behind_tls,
        metrics_host=args.metrics_host,
        metrics_port=args.metrics_port,
        whom=tuple(dict.fromkeys(args.metrics_by)),
        otlp_endpoint=args.otlp_endpoint,
    )
    given = (os.environ, args.host, args.port, args.routes, _ready, args.policy, _tell, observation, args.record)
    anyio.run(run_gateway, *given, backend_options=options)
    return ExitCode.DONE


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65_535):
        raise argparse.ArgumentTypeError(f"not a port, 0 to 65535: {text!r}")
    return int(text)


def _print_openapi() -> int:
    import json

    from mohist.admin.application import build

    print(json.dumps(build().openapi(), indent=1, ensure_ascii=False))
    return ExitCode.DONE


def _tell(line: str) -> None:
    from mohist.terminal import plain

    print(plain(line), file=sys.stderr, flush=True)


def _ready(url: str, served: Served) -> None:
    print(url, flush=True)
    names = served.table.names(anthropic=False) + served.table.names(anthropic=True)
    ends = {end.name for route in served.table.routes for end in route.upstreams}
    print(
        f"serving {len(set(names))} model names by {len(ends)} upstream(s)",
        file=sys.stderr,
        flush=True,
    )
