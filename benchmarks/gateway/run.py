"""Measures the gateway beside LiteLLM's proxy on the same scripted upstream, side by side in one run.

    python benchmarks/gateway/run.py [--json] [--quick] [--litellm PREFIX | --alone]

One worker each, on one processor; upstream and load on another where there are two. Timings are noisy, and other work
on the machine is part of them; the ratios count. Nothing is asserted here.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import median

import load
import uvloop
from load import Call
from peer import LITELLM_PACKAGES, Gateway, LiteLLM, Mohist, Running

STREAMS = 10
PIECES = 200

# What the gateway should keep to, from the project's goals: at most, or where it says so at least.
GOALS = {
    "CPU per small call": "1/60",
    "CPU per 200 kB call": "1/20",
    "small calls per second of CPU": "≥ 3,000",
    "added to a small call": "1.0 ms",
    "added to a 200 kB call": "2.5 ms",
    "start": "1.5 s",
    "memory": "120 MB",
}
UNITS = {"start": "s", "memory": "MB", "small calls per second of CPU": ""}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="all values, not only the medians")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and calls")
    parser.add_argument("--smoke", action="store_true", help="as few as can be: whether it runs, not how fast")
    parser.add_argument(
        "--litellm", type=Path, metavar="PREFIX", help=f"environment that has {' and '.join(LITELLM_PACKAGES)}"
    )
    parser.add_argument("--alone", action="store_true", help="only Mohist")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mohist-bench-") as name:
        room = Path(name)
        gateways: list[Gateway] = [Mohist()]
        version = ""
        if not args.alone:
            if not args.litellm:
                _say(f"installing {' '.join(LITELLM_PACKAGES)} into a folder of its own; --litellm PREFIX saves that")
            peer = LiteLLM(args.litellm.absolute()) if args.litellm else LiteLLM.install(room / "litellm")
            version = peer.version()
            gateways.append(peer)
        rounds, less = (1, 100) if args.smoke else (2, 5) if args.quick else (5, 1)
        values = _measured(room, gateways, rounds, less)
    print(json.dumps(_as_json(values, version), indent=1) if args.json else _table(values, gateways, version))
    return 0


def _measured(room: Path, gateways: list[Gateway], rounds: int, less: int) -> dict[str, dict[str, list[float]]]:
    """Row -> gateway -> one value a round."""
    cpus = sorted(os.sched_getaffinity(0))
    here, there = cpus[:1], cpus[-1:]
    os.sched_setaffinity(0, here)
    upstream = subprocess.Popen(
        [sys.executable, Path(__file__).parent / "upstream.py"], stdout=subprocess.PIPE, text=True
    )
    values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    running: dict[str, Running] = {}
    try:
        assert upstream.stdout is not None
        port = int(upstream.stdout.readline())
        for number in range(rounds):
            for gateway in gateways:
                if number in (0, rounds - 1):
                    old = running.pop(gateway.name, None)
                    if old is not None:
                        old.stop()
                    os.sched_setaffinity(0, there)  # a child starts where its parent is
                    running[gateway.name] = gateway.start(room / f"{gateway.name}-{number}", port)
                    os.sched_setaffinity(0, here)
                    values["start"][gateway.name].append(running[gateway.name].start_s)
            _say(f"round {number + 1} of {rounds}")
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(_round(values, gateways, running, port, less))
    finally:
        for each in running.values():
            each.stop()
        upstream.kill()
        upstream.wait()
    return values


async def _round(
    values: dict[str, dict[str, list[float]]],
    gateways: list[Gateway],
    running: dict[str, Running],
    upstream_port: int,
    less: int,
) -> None:
    keys = {gateway.name: gateway.key for gateway in gateways}
    for gateway in gateways:
        name, server = gateway.name, running[gateway.name]
        quick = 1 if name == "mohist" else 8  # the same time for each, not the same number of calls
        for row, call, calls in (("small", load.small(), 4000), ("200 kB", load.agent(), 1000)):
            request = _for(name, call).request(keys[name])
            await load.saturate(server.port, request, max(20, calls // quick // less // 10), 8)
            count = max(40, calls // quick // less)
            before = server.cpu_s()
            await load.saturate(server.port, request, count, 8)
            spent_s = server.cpu_s() - before
            values[f"CPU per {row} call"][name].append(spent_s / count * 1e6)
            if row == "small":
                values["small calls per second of CPU"][name].append(count / spent_s)
        for row, call in (("chat", load.small(PIECES)), ("200 kB", load.agent(PIECES))):
            request = _for(name, call).request(keys[name])
            before = server.cpu_s()
            firsts = await load.streams(server.port, request, STREAMS)
            values[f"CPU per 1,000 pieces of a stream ({row})"][name].append(
                (server.cpu_s() - before) / (STREAMS * PIECES) * 1e6
            )
            values[f"until the first piece ({row})"][name].append(median(firsts))
        values["memory"][name].append(server.memory_mb())
    ports = {"direct": upstream_port} | {name: server.port for name, server in running.items()}
    for row, call in (("small", load.small()), ("200 kB", load.agent())):
        requests = {name: _for(name, call).request(keys.get(name, "none")) for name in ports}
        taken = await load.pace(ports, requests, max(10, 100 // less), 0.02)
        for name in running:
            values[f"added to a {row} call"][name].append(median(taken[name]) - median(taken["direct"]))


def _for(name: str, call: Call) -> Call:
    """LiteLLM can't have one model name for two dialects."""
    if name == "LiteLLM" and "messages" in call.path:
        return Call(call.path, call.body.replace(b'"bench"', b'"bench-messages"', 1))
    return call


def _as_json(values: dict[str, dict[str, list[float]]], version: str) -> dict[str, object]:
    return {"machine": _machine(), "litellm": version, "values": values}


def _table(values: dict[str, dict[str, list[float]]], gateways: list[Gateway], version: str) -> str:
    """Markdown: the medians, and how many times less Mohist takes."""
    names = [gateway.name for gateway in gateways]
    heads = [f"{name} {version}".strip() if name == "LiteLLM" else name for name in names]
    lines = [_machine(), "", f"| | {' | '.join(heads)} | mohist / other | goal |", "|---|" + "---:|" * (len(names) + 2)]
    for row, found in values.items():
        middles = [median(found[name]) for name in names]
        ratio = ""
        if len(middles) == 2 and min(middles) > 0:
            ours, theirs = middles
            ratio = f"1/{theirs / ours:.0f}" if theirs > ours else f"{ours / theirs:.1f}"
        cells = " | ".join(_number(row, value) for value in middles)
        lines.append(f"| {row} | {cells} | {ratio} | {GOALS.get(row, '')} |")
    return "\n".join(lines)


def _number(row: str, value: float) -> str:
    if row.startswith("CPU per 1,000"):
        return f"{value:,.0f} ms"  # us a piece are ms per thousand
    if row.startswith("CPU"):
        return f"{value:,.0f} µs"
    unit = UNITS.get(row, "ms")
    return f"{value:,.2f} {unit}" if unit in ("s", "ms") else f"{value:,.0f} {unit}".strip()


def _machine() -> str:
    load_1min = os.getloadavg()[0]
    python = platform.python_version()
    return f"{platform.system()}, {os.cpu_count()} processors, Python {python}, load {load_1min:.1f} at the end"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
