"""`mohist trace map|…`: what is entered of commits, and what is made of the ledger for others to read."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mohist.base import ExitCode, StatePaths
from mohist.cli.progress import Progress
from mohist.terminal import plain

if TYPE_CHECKING:
    from mohist.app.evidence import Evidence
    from mohist.app.inquiry import Inquiry


async def main(verb: str, args: argparse.Namespace) -> int:
    """Does what the verb says."""
    from mohist.app.database import owner_config
    from mohist.app.evidence import open_evidence
    from mohist.app.inquiry import inquiry

    home, settings = StatePaths.from_env(os.environ).home, owner_config(os.environ).ledger
    evidence = open_evidence(home, settings, os.environ)
    if evidence is None:
        print("mohist: The ledger is off: ledger.on = false.", file=sys.stderr)
        return ExitCode.USAGE
    try:
        async with inquiry(evidence.home, Path.cwd(), Progress("entries read")) as asked:
            return await _VERBS[verb](asked, evidence, args)
    finally:
        evidence.close()


async def _map(asked: Inquiry, evidence: Evidence, args: argparse.Namespace) -> int:
    from mohist.app.mapping import MAX_COMMITS, enter_maps

    commits = await asked.range(args.range, 0 if args.range else MAX_COMMITS)
    if not args.range:
        commits = [one for one in commits if not asked.is_mapped(one)]
    values = []
    async for mapped, index in enter_maps(asked, evidence, commits):
        values.append(
            {
                "commit": mapped.change.commit,
                "tree": mapped.change.tree,
                "patch_id": mapped.patch_id,
                "runs": dict(mapped.runs),
                "methods": dict(mapped.methods),
                "confidence": mapped.confidence,
                "entry": index,
            }
        )
        if not args.json:
            runs = ", ".join(f"{run} ({count} lines)" for run, count in mapped.runs.most_common()) or "no known run"
            print(f"{mapped.change.commit[:12]}  {mapped.confidence:<6}  entry {index}  {runs}")
    if args.json:
        print(json.dumps(values, indent=2))
    elif not values:
        print("There is no commit to be mapped.")
    return ExitCode.DONE


async def _notes(asked: Inquiry, _: Evidence, args: argparse.Namespace) -> int:
    from mohist.app.mapping import MAX_COMMITS
    from mohist.app.projection import write_notes

    done = await write_notes(asked, await asked.range(args.range, 0 if args.range else MAX_COMMITS))
    if args.json:
        print(json.dumps([{"ref": one.ref, "written": one.written, "others": one.others} for one in done], indent=2))
        return ExitCode.DONE
    for one in done:
        kept = f"; {len(one.others)} commits have another program's note, which stays" if one.others else ""
        print(f"{one.ref}: {one.written} notes written{kept}")
    return ExitCode.DONE


async def _attest(asked: Inquiry, evidence: Evidence, args: argparse.Namespace) -> int:
    from mohist.app.projection import PUBLIC_KEY, attest

    envelope, index = await attest(asked, evidence, await asked.commit(args.range or "HEAD"))
    print(json.dumps(envelope, indent=2))
    key = evidence.home.folder / PUBLIC_KEY
    print(f"Its digest is in entry {index}; it is verified with {key}", file=sys.stderr)
    return ExitCode.DONE


async def _bom(asked: Inquiry, evidence: Evidence, args: argparse.Namespace) -> int:
    from mohist.app.projection import bill, enter_bill

    version = args.range.rpartition("..")[2]
    made = await bill(asked, await asked.range(args.range), version)
    index = enter_bill(evidence, made, evidence.name("repository", str(asked.root)))
    print(json.dumps(made, indent=2, ensure_ascii=False))
    print(f"Its digest is in entry {index}.", file=sys.stderr)
    return ExitCode.DONE


async def _provenance(asked: Inquiry, evidence: Evidence, args: argparse.Namespace) -> int:
    from mohist.app.projection import enter_provenance, provenance

    for made, envelope in provenance(asked, evidence, args.range):
        enter_provenance(evidence, made, envelope)
        print(json.dumps(envelope))
    return ExitCode.DONE


async def _verify(asked: Inquiry, evidence: Evidence, args: argparse.Namespace) -> int:
    from mohist.app.statement import PUBLIC_KEY, checked, read_key, read_statements

    if not args.range:
        print("mohist: Name the file of a statement.", file=sys.stderr)
        return ExitCode.USAGE
    key = read_key(args.key or evidence.home.folder / PUBLIC_KEY)
    found = [checked(one, key, asked.entered) for one in read_statements(Path(args.range))]
    holds = all(not one.faults for one in found)
    if args.json:
        rows = [{"what": one.what, "about": one.about, "entry": one.entry, "faults": one.faults} for one in found]
        print(json.dumps({"holds": holds, "statements": rows}, indent=2))
        return ExitCode.DONE if holds else ExitCode.FAILED
    for one in found:
        about = " ".join(f"{name}:{value}" for name, value in one.about.items())
        print(f"{'NO' if one.faults else 'ok'}  {one.what}  {plain(about)}".rstrip())
        if one.entry is not None:
            print(f"    entered as {one.entry}: mohist ledger show {one.entry}")
        for fault in one.faults:
            print(f"    {plain(fault)}")
    return ExitCode.DONE if holds else ExitCode.FAILED


_VERBS = {
    "map": _map,
    "notes": _notes,
    "attest": _attest,
    "bom": _bom,
    "provenance": _provenance,
    "verify": _verify,
}
