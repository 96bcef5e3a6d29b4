"""Restores placeholders in random splittings and counts errors; says what a piece costs and how much is held back.

python benchmarks/guard/restore.py [--splittings 1000000] [--json]
"""

from __future__ import annotations

import argparse
import json
import random
import time

from mohist.guard.placeholder import Mint
from mohist.guard.restore import Restorer, Words

DECOYS = (
    "DLP",
    "DLPx",
    "D",
    "DLPxDLPx0",
    "DLPx0123456789a",
    "DLPx0123456789ab",
    "dlpx",
    "\u4f60",
    "\n",
    " ",
    '"',
    "DD",
    "xD",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--splittings", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    mint = Mint(bytes(range(32)))
    values = {mint.make("secret", str(number)): f"<value {number} \u4f60>" for number in range(20)}
    words, known = Words(values), list(values)
    dice = random.Random(7)
    errors = held_chars = 0
    for _ in range(args.splittings):
        pieces = []
        for _ in range(dice.randrange(1, 6)):
            word = dice.choice(known)
            pieces.append(
                dice.choice((word, word[: dice.randrange(16)], dice.choice(DECOYS), word + dice.choice(DECOYS)))
            )
        text = "".join(pieces)
        meant = text
        for word, value in values.items():
            if word in meant:
                meant = meant.replace(word, value)
        cuts = sorted(dice.randrange(len(text) + 1) for _ in range(dice.randrange(6)))
        restorer, seen, fed = Restorer(words), "", 0
        for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
            seen += restorer.feed(text[start:end])
            fed = end
            held_chars = max(held_chars, len(restorer.held))
        seen += restorer.end()
        errors += seen != meant or fed != len(text)
    said = ("The key is " + known[0] + " and that is all there is to say of it, Dear. ") * 2_000
    deltas = [said[at : at + 4] for at in range(0, len(said), 4)]
    restorer = Restorer(words)
    start_s = time.process_time()
    for delta in deltas:
        restorer.feed(delta)
    delta_us = (time.process_time() - start_s) * 1e6 / len(deltas)
    figures = {
        "splittings": args.splittings,
        "errors": errors,
        "held_chars": held_chars,
        "delta_us": round(delta_us, 2),
    }
    if args.json:
        print(json.dumps(figures))
    else:
        print("\n".join(f"{name:12} {value:,}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
