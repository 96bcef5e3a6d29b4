"""`mohist models`: what models are known, what they cost, which are connected."""

from __future__ import annotations

import argparse
import json
import os
from typing import Any

from mohist.base import ExitCode

EPILOG = """\
examples:
  mohist models
  mohist models qwen
  mohist models --json | jq '.[] | select(.connected)'"""


def declare(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument("filter", nargs="?", default="", help="only names that hold this")
    parser.add_argument("--json", action="store_true", help="one JSON array")


def main(args: argparse.Namespace) -> int:
    from mohist.provider.catalogue import catalogue

    table = catalogue()
    rows: list[dict[str, Any]] = []
    for name in table.model_names:
        entry = table.model(name)
        if entry is None or args.filter.lower() not in name.lower():
            continue
        provider = table.provider(entry.provider)
        assert provider is not None
        # The variable that is set, else the first of those that may be.
        key_env = next((key for key in provider.key_env if os.environ.get(key, "").strip()), provider.key_env[0])
        price = entry.price
        rows.append(
            {
                "name": name,
                "context_tokens": entry.caps.context_tokens,
                "output_tokens": entry.caps.output_tokens,
                "price": None
                if price is None
                else {
                    "input": price.tiers[0].input,
                    "output": price.tiers[0].output,
                    "date": price.date,
                    "source": price.source,
                },
                "key_env": key_env,
                "connected": bool(os.environ.get(key_env, "").strip()),
            }
        )
    if args.json:
        print(json.dumps(rows, indent=2))
        return ExitCode.DONE
    print(f"{'':2}{'model':42} {'context':>9} {'in':>9} {'out':>9}  USD per million tokens; key")
    for row in rows:
        shown = row["price"]
        cost = ("unknown", "") if shown is None else (_usd(shown["input"]), _usd(shown["output"]))
        mark = "* " if row["connected"] else "  "
        print(f"{mark}{row['name']:42} {row['context_tokens']:>9} {cost[0]:>9} {cost[1]:>9}  {row['key_env']}")
    print("* its key is set. Any other endpoint: --model http://HOST:PORT/v1#MODEL")
    return ExitCode.DONE


def _usd(micro: int | None) -> str:
    return "unknown" if micro is None else f"{micro / 1e6:.3f}"
