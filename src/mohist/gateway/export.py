"""Calls as files that other programs read: CSV, JSON and Parquet, written as they come and never held whole."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import IO, Any, Final

from mohist.gateway.errors import StoreError
from mohist.gateway.listing import COLUMNS
from mohist.gateway.schema import USAGE, WHOLE

Row = Mapping[str, Any]

EXPORTED: Final = ("started_at", *COLUMNS, "cache_share")
"""Columns of an exported call, in this order; new ones come at the end of the middle part."""

_ROW_GROUP: Final = 10_000
_FLAGS: Final = frozenset({"cancelled"})


def shown(row: Row) -> dict[str, Any]:
    """A listed call with what follows from it: its time in words, and how much of its prompt came from a cache."""
    prompt = sum(row[f"{kind}_tokens"] or 0 for kind in ("input", "cache_read", "cache_write"))
    share = round((row["cache_read_tokens"] or 0) / prompt, 4) if prompt else None
    moment = datetime.fromtimestamp(row["started_at_ms"] / 1000, UTC)
    flags = {name: bool(row[name]) for name in _FLAGS}
    return {
        "started_at": moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z",
        **row,
        **flags,
        "cache_share": share,
    }


def write_csv(rows: Iterable[Row], names: Iterable[str], file: IO[str]) -> None:
    """Comma-separated with a head line; what is not known is empty."""
    names = tuple(names)
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([cell(row[name]) for name in names] for row in rows)


def write_json(rows: Iterable[Row], file: IO[str]) -> None:
    """One array, one object a line."""
    file.write("[")
    before = "\n"
    for row in rows:
        file.write(before + json.dumps(row))
        before = ",\n"
    file.write("]\n" if before == "\n" else "\n]\n")


def write_parquet(rows: Iterable[Row], file: IO[bytes]) -> None:
    """One Parquet file of exported calls; StoreError where the library is missing."""
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise StoreError(
            "Parquet needs a library that is not here.",
            "In a checkout: MOHIST_ENVIRONMENT=full ./mohist …; elsewhere: pip install 'mohist[parquet]'.",
        ) from None
    kinds: dict[str, Any] = {"started_at": pa.timestamp("ms", tz="UTC"), "cache_share": pa.float64()}
    for column in USAGE.columns:
        kinds[column.name] = pa.int64() if column.type is WHOLE else pa.string()
    kinds |= {name: pa.bool_() for name in _FLAGS} | {"day": pa.date32()}
    schema = pa.schema([(name, kinds[name]) for name in EXPORTED])
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        for batch in _batches(rows):
            columns = {name: pa.array([_typed(name, row) for row in batch], kinds[name]) for name in EXPORTED}
            writer.write_table(pa.table(columns, schema=schema))


def cell(value: Any) -> Any:
    """A value for CSV. Clients name themselves; a spreadsheet must not take a name for a formula
    (https://owasp.org/www-community/attacks/CSV_Injection)."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return value


def _typed(name: str, row: Row) -> Any:
    if name == "started_at":
        return row["started_at_ms"]
    if name == "day":
        return datetime.fromisoformat(row["day"]).date()
    return row[name]


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    source = iter(rows)
    while batch := list(islice(source, _ROW_GROUP)):
        yield batch
