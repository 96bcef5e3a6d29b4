"""An entry of the register as options of a command."""

from __future__ import annotations

import argparse
import difflib
import hashlib
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mohist.base import MohistError

if TYPE_CHECKING:
    from mohist.gateway.register import Edit
    from mohist.policy.register import Entry, Register

_CHUNK_BYTES = 1024 * 1024
_FIELDS = ("versions", "scheme", "reason", "owner", "alternative", "first_step")
_NEVER = "never"


def declare(parser: argparse.ArgumentParser) -> None:
    kind = parser.add_mutually_exclusive_group()
    for disposition in ("allowed", "restricted", "banned"):
        kind.add_argument(
            f"--{disposition}", dest="disposition", action="store_const", const=disposition, help=f"it is {disposition}"
        )
    parser.add_argument("--versions", metavar="RANGE", help="npm's form or PEP 440's (PyPI's tools); default: all")
    parser.add_argument(
        "--scheme", choices=("semver", "pep440"), help="how its versions are ordered (default: by the tool)"
    )
    parser.add_argument("--reason", metavar="TEXT", help="people read it when they are warned or refused")
    parser.add_argument(
        "--only-governed", action="store_true", default=None, help="restricted: only under mohist govern"
    )
    parser.add_argument("--only-model", action="append", metavar="GLOB", help="restricted: only these models; repeat")
    parser.add_argument(
        "--not-repository", action="append", metavar="GLOB", help="restricted: not on host/owner/name; repeat"
    )
    parser.add_argument(
        "--evidence", action="append", metavar="PATH", help="what it rests on; a file's digest is kept with it; repeat"
    )
    parser.add_argument("--from", dest="effective", metavar="DAY", help="binds from this day on (UTC); before: warned")
    parser.add_argument("--expires", metavar="DAY", help=f"an approval ends, a ban is lifted; {_NEVER}: not any more")
    parser.add_argument("--owner", metavar="NAME", help="who answers for it")
    parser.add_argument("--alternative", metavar="TEXT", help="what people use instead")
    parser.add_argument("--first-step", metavar="TEXT", help="how they begin, such as a command")


def made(args: argparse.Namespace, register: Register) -> Entry:
    """The new entry that was asked for.

    Raises:
        RegisterError: it says what it may not.
    """
    from mohist.policy.errors import RegisterError
    from mohist.policy.register import entry_of

    if not args.disposition:
        raise RegisterError("The entry has no disposition.", "Say one of --allowed, --restricted, --banned.")
    table: dict[str, Any] = {"id": args.id or _free_id(args.tool, register), "tool": args.tool}
    if hint := _unknown(args.tool):
        print(hint, file=sys.stderr)
    return entry_of(table | _said(args, {}), f"the entry for {args.tool!r}")


def _unknown(tool: str) -> str:
    """What is to be said of a name that nothing is known by; empty: it says where it is found, or is known."""
    from mohist.policy.register import known_tools

    if ":" in tool or "*" in tool or "?" in tool or tool.lower() in known_tools():
        return ""
    near = difflib.get_close_matches(tool.lower(), known_tools(), n=1)
    mean = (
        f"Did you mean {near[0]!r}?"
        if near
        else "One form of a tool is named like npm:…, pypi:…, vscode:…, program:…, agent:…"
    )
    return f"note: no tool is known by the name {tool!r}, so nothing may ever be called so. {mean}"


def edited(args: argparse.Namespace, register: Register) -> Edit:
    """What is to change of an entry, or of the settings.

    Raises:
        MohistError: there is no such entry, or nothing was said.
    """
    from mohist.gateway.errors import NotThereError
    from mohist.gateway.register import Edit
    from mohist.policy.errors import RegisterError
    from mohist.policy.register import as_mapping, entry_of, settings_of

    told = {"unlisted": args.unlisted, "ask": args.ask}
    told |= {"two_persons": args.two_persons == "on" if args.two_persons else None}
    told = {name: value for name, value in told.items() if value is not None}
    settings = None
    if told:
        before = {name: getattr(register.settings, name) for name in ("unlisted", "two_persons", "ask")}
        settings = settings_of(before | told, "the settings")
    if not args.entry:
        if settings is None or _said(args, {}):
            raise RegisterError(
                "Nothing is said of an entry or of the settings.", "Such as: mohist register set ID --from 2026-12-01"
            )
        return Edit(settings=settings)
    found = next((entry for entry in register.entries if entry.entry_id == args.entry), None)
    if found is None:
        raise NotThereError(f"There is no entry {args.entry!r} in the register.", "See: mohist register list")
    table = as_mapping(found)
    if args.disposition and args.disposition != "restricted":
        table.pop("conditions", None)
    said = _said(args, table)
    if not said and settings is None:
        raise RegisterError(f"Nothing is said of {args.entry!r}.", "Such as: --from 2026-12-01")
    return Edit((entry_of(table | said),) if said else (), settings=settings)


def _said(args: argparse.Namespace, before: dict[str, Any]) -> dict[str, Any]:
    """The keys of an entry that the options speak of."""
    said = {name: getattr(args, name) for name in _FIELDS if getattr(args, name) is not None}
    if args.disposition:
        said["disposition"] = args.disposition
    for name in ("effective", "expires"):
        if (day := getattr(args, name)) is not None:
            said[name] = "" if day == _NEVER else day
    conditions = dict(before.get("conditions", {}))
    if args.only_governed:
        conditions["governed"] = True
    if args.only_model:
        conditions["models"] = args.only_model
    if args.not_repository:
        conditions["not_repositories"] = args.not_repository
    if conditions:
        said["conditions"] = conditions
    if args.evidence:
        said["evidence"] = [_evidence(place) for place in args.evidence]
    if set(said) == {"conditions"} and conditions == before.get("conditions"):
        return {}
    return said


def _evidence(place: str) -> dict[str, str]:
    """A file with its digest; an address without."""
    if "://" in place:
        return {"place": place}
    path = Path(place)
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
    except OSError as error:
        raise MohistError(
            f"The evidence {place!r} can't be read: {error.strerror}.", "Name a file or an address."
        ) from error
    return {"place": place, "digest": f"sha256:{digest.hexdigest()}"}


def _free_id(tool: str, register: Register) -> str:
    """A name for an entry by its tool, with a number where it is taken."""
    base = re.sub(r"[^a-z0-9.-]+", "-", tool.lower()).strip("-.")[:56] or "entry"
    taken = {entry.entry_id for entry in register.entries}
    return next(
        name
        for number in range(1, len(taken) + 2)
        if (name := base if number == 1 else f"{base}-{number}") not in taken
    )
