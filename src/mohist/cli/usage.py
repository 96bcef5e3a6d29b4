"""`mohist usage`: what was used through the gateway, and what it cost."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from mohist.base import ExitCode, MohistError, StatePaths

if TYPE_CHECKING:
    from mohist.gateway.database import Session
    from mohist.gateway.listing import Filter, Total

EPILOG = """\
Sums of all calls through the gateway, dearest first; with --calls, single calls, newest first. A running server writes
them down twice a second. Whatever is given several times fits any of them; a name that ends in * is a beginning.

examples:
  mohist usage
  mohist usage --by user --by model --since 2026-11-01
  mohist usage --calls --user ann --status 4xx --limit 20
  mohist usage --calls --format parquet --until 2026-12-01 --output november.parquet
  mohist usage --format focus --since 2026-11-01 --output november.csv"""

_BY = (
    "key", "user", "project", "team", "client", "session", "model", "asked", "dialect", "upstream", "provider", "region",
    "tier", "verdict", "rule", "price", "status", "day", "month",
)  # fmt: skip
_FILTERS = {
    "key": "id of the key",
    "user": "user",
    "project": "project",
    "team": "team",
    "client": "client, such as claude-cli/*",
    "session": "session",
    "model": "model, asked for or served",
    "upstream": "upstream",
    "provider": "provider",
    "region": "region",
    "dialect": "dialect",
    "verdict": "allowed, or why not",
    "rule": "rule that decided",
}
_FORMATS = ("table", "json", "csv", "parquet", "focus")
_SHOWN_CALLS = 50


class UsageError(MohistError):
    """What was asked does not go together."""

    exit_code = ExitCode.USAGE


def declare(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument(
        "--by",
        action="append",
        choices=_BY,
        metavar="WHAT",
        help=f"sum by one or two of: {', '.join(_BY)} (default: model)",
    )
    parser.add_argument("--calls", action="store_true", help="single calls instead of sums")
    for name, what in _FILTERS.items():
        parser.add_argument(f"--{name}", action="append", default=[], metavar="NAME", help=f"only of this {what}")
    parser.add_argument("--status", action="append", default=[], metavar="CODE", help="only with this status: 404, 4xx")
    parser.add_argument("--since", type=_day, metavar="DATE", help="from this day on, YYYY-MM-DD (UTC)")
    parser.add_argument("--until", type=_day, metavar="DATE", help="up to and with this day, YYYY-MM-DD (UTC)")
    parser.add_argument(
        "--limit", type=_count, metavar="N", help=f"at most N calls (default: {_SHOWN_CALLS} in a table)"
    )
    parser.add_argument("--after", default="", metavar="PLACE", help="go on where a table of calls ended")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--format", choices=_FORMATS, default="table", help="focus: FOCUS 1.2 as CSV, by day")
    form.add_argument("--json", action="store_const", const="json", dest="format", help="one JSON array")
    form.add_argument(
        "--csv", action="store_const", const="csv", dest="format", help="comma-separated, with a head line"
    )
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="write there, when all is written (default: stdout)"
    )


def main(args: argparse.Namespace) -> int:
    from mohist.app.database import gateway_settings
    from mohist.gateway.address import home_address
    from mohist.gateway.clerk import catch_up
    from mohist.gateway.database import Session

    by = tuple(dict.fromkeys(args.by or ("model",)))
    if len(by) > 2:
        raise UsageError("Usage is summed by two things at most.", "For more: --calls --format csv")
    if args.by and (args.calls or args.format in ("focus", "parquet")):
        raise UsageError("--by sums; --calls, --format parquet and --format focus have their own rows.")
    if args.format == "parquet" and args.output is None and sys.stdout.isatty():
        raise UsageError("Parquet is no text for a terminal.", "Name a file: --output FILE")
    address = home_address(StatePaths.from_env(os.environ).home, gateway_settings(os.environ).variables)
    catch_up(address)
    with Session(address) as session:
        if args.format == "focus":
            return _focus(session, _filter(args), args.output)
        if args.calls or args.format == "parquet":
            return _calls(session, _filter(args), args)
        return _sums(session, _filter(args), by, args)


def _filter(args: argparse.Namespace) -> Filter:
    from mohist.gateway.listing import Filter

    names = {name: tuple(getattr(args, name)) for name in _FILTERS if getattr(args, name)}
    until = None if args.until is None else _ms(args.until + timedelta(days=1))
    return Filter(0 if args.since is None else _ms(args.since), until, names, tuple(args.status))


def _sums(session: Session, chosen: Filter, by: tuple[str, ...], args: argparse.Namespace) -> int:
    from mohist.gateway.export import write_csv, write_json
    from mohist.gateway.listing import Total, totals

    found = totals(session, by, chosen)
    rows = [_total_row(by, total) for total in found]
    names = [*by, *(name for name in Total.__dataclass_fields__ if name != "names"), "cache_share"]
    if args.format == "json":
        _write(args.output, lambda file: write_json(rows, file))
    elif args.format == "csv":
        _write(args.output, lambda file: write_csv(rows, names, file))
    else:
        _write(args.output, lambda file: file.writelines(_table(by, found)))
    return ExitCode.DONE


def _total_row(by: tuple[str, ...], total: Total) -> dict[str, Any]:
    sums = {name: value for name, value in asdict(total).items() if name != "names"}
    share = None if total.cache_share is None else round(total.cache_share, 4)
    return {**dict(zip(by, total.names, strict=True)), **sums, "cache_share": share}


def _table(by: tuple[str, ...], found: list[Total]) -> Iterator[str]:
    from mohist.terminal.style import money, tokens

    if not found:
        yield "no calls yet\n"
        return
    wide = 36 if len(by) == 1 else 24
    head = " ".join(f"{name:{wide}}" for name in by)
    yield f"{head} {'calls':>8} {'refused':>8} {'prompt':>8} {'cached':>8} {'output':>8} {'cost':>14}\n"
    for total in found:
        cost = money(total.cost_microusd) + (f" + {total.unpriced} unpriced" if total.unpriced else "")
        names = " ".join(f"{_plain(name) or '(none)':{wide}}" for name in total.names)
        yield (
            f"{names} {total.calls:>8} {total.refused:>8} {tokens(total.prompt_tokens):>8} "
            f"{tokens(total.cache_read_tokens):>8} {tokens(total.output_tokens):>8} {cost:>14}\n"
        )


def _calls(session: Session, chosen: Filter, args: argparse.Namespace) -> int:
    from mohist.gateway.export import EXPORTED, shown, write_csv, write_json, write_parquet
    from mohist.gateway.listing import calls, cursor

    table = args.format == "table"
    limit = args.limit if args.limit is not None else _SHOWN_CALLS if table else None
    found = calls(session, chosen, newest_first=table, after=args.after, limit=limit)
    if args.format == "parquet":
        _write_bytes(args.output, lambda file: write_parquet(map(shown, found), file))
    elif args.format == "json":
        _write(args.output, lambda file: write_json(map(shown, found), file))
    elif args.format == "csv":
        _write(args.output, lambda file: write_csv(map(shown, found), EXPORTED, file))
    else:
        rows = list(found)
        _write(args.output, lambda file: file.writelines(_call_table(rows)))
        if rows and len(rows) == limit:
            print(f"more: --after {cursor(rows[-1])}", file=sys.stderr)
    return ExitCode.DONE


def _call_table(rows: list[dict[str, Any]]) -> Iterator[str]:
    from mohist.gateway.export import shown
    from mohist.terminal.style import money, tokens

    if not rows:
        yield "no calls yet\n"
        return
    yield (
        f"{'time (UTC)':19} {'user':12} {'client':20} {'model':28} {'upstream':16} {'status':12} "
        f"{'prompt':>7} {'cached':>6} {'output':>7} {'first':>8} {'whole':>8} {'cost':>10}\n"
    )
    for row in rows:
        told = shown(row)
        prompt = sum(row[f"{kind}_tokens"] or 0 for kind in ("input", "cache_read", "cache_write"))
        share = "" if told["cache_share"] is None else f"{told['cache_share']:.0%}"
        cost = "unpriced" if row["cost_microusd"] is None else money(row["cost_microusd"])
        cost += "+" if row["unpriced"] and row["cost_microusd"] is not None else ""
        status = str(row["status"]) if row["verdict"] == "allowed" else f"{row['status']} {row['verdict']}"
        first = "" if row["first_byte_ms"] is None else f"{row['first_byte_ms']} ms"
        names = (
            f"{_short(row['user'], 12)} {_short(row['client'], 20)} "
            f"{_short(row['model_served'] or row['model_asked'], 28)} {_short(row['upstream'], 16)}"
        )
        yield (
            f"{told['started_at'][:19].replace('T', ' ')} {names} {status:12} "
            f"{tokens(prompt):>7} {share:>6} {tokens(row['output_tokens'] or 0):>7} "
            f"{first:>8} {row['duration_ms']:>5} ms {cost:>10}\n"
        )


def _focus(session: Session, chosen: Filter, output: Path | None) -> int:
    from mohist.gateway.export import write_csv
    from mohist.gateway.focus import COLUMNS, focus_rows
    from mohist.provider.catalogue import catalogue

    def title(name: str) -> str:
        provider = catalogue().provider(name)
        return name if provider is None else provider.title

    unknown: list[int] = []
    _write(output, lambda file: write_csv(focus_rows(session, chosen, title, unknown.append), COLUMNS, file))
    if unknown:
        print(f"the costs lack those of {sum(unknown)} call(s): not known, or only in part", file=sys.stderr)
    return ExitCode.DONE


def _write(output: Path | None, write: Callable[[IO[str]], object]) -> None:
    if output is None:
        write(sys.stdout)
        return
    with _replacing(output) as path, path.open("w", encoding="utf-8", newline="") as file:
        write(file)


def _write_bytes(output: Path | None, write: Callable[[IO[bytes]], object]) -> None:
    if output is None:
        write(sys.stdout.buffer)
        return
    with _replacing(output) as path, path.open("wb") as file:
        write(file)


@contextmanager
def _replacing(output: Path) -> Iterator[Path]:
    """A file beside `output` that takes its place once it is whole; readable by its owner alone, as it says who did what."""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{output.name}.", dir=output.parent)
        os.close(handle)
        path = Path(name)
        try:
            yield path
            path.replace(output)
        finally:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"{str(output)!r} can't be written: {error.strerror}.") from error


def _plain(text: str) -> str:
    from mohist.terminal import plain

    return " ".join(plain(text).split())


def _short(text: str, wide: int) -> str:
    shown = _plain(text)
    return f"{shown if len(shown) <= wide else shown[: wide - 1] + '…':{wide}}"


def _count(text: str) -> int:
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"not a whole number above 0: {text!r}")
    return int(text)


def _ms(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"not a day such as 2026-11-01: {text!r}") from None
