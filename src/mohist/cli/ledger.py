"""`mohist ledger`: the evidence of what happened: read it, prove it, hand it to somebody, check it, erase a person from it."""

from __future__ import annotations

import argparse
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mohist.base import ExitCode, MohistError, StatePaths
from mohist.cli import ledger_keep
from mohist.cli.progress import Progress

if TYPE_CHECKING:
    from mohist.app.ledger import LedgerHome
    from mohist.ledger.store import Store

EPILOG = """\
Everything that happens is entered: what went to models, what tools did, what the guard found, who approved what, what was
merged and deployed. Entries can't be changed; each checkpoint of the log is signed, and witnessed by whom you name.
`verify` needs nothing but a bundle and the log's key: it runs on any machine, also without this program (verify.py in the bundle).

examples:
  mohist ledger show --last 20                         the newest entries
  mohist ledger show --stream run:01J…                 one run, complete
  mohist ledger export audit/ && mohist ledger key     a bundle for an auditor, and the key that it is verified with
  mohist ledger verify audit/ --key "$(cat log.key)" --policy witnesses.policy
  mohist ledger prove 1234 > entry.tlog-proof          that one entry is in the log
  mohist ledger check                                  compares the log with its checkpoints and witnesses; hashes everything again
  mohist ledger export audit/ --stream run:01J…        one run, whole, and of all others nothing but hashes
  mohist ledger erase "ann" --because "asked for it"   a person's name, or the pseudonym in entries: person:4f2a…
  mohist ledger hold run:01J… --because "case 17"      keeps its contents until: mohist ledger hold --lift

exit codes: 0 all holds, 1 something does not, 2 wrong usage."""


def declare(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    show = verbs.add_parser("show", help="entries, the newest last")
    show.add_argument("index", nargs="?", type=int, metavar="INDEX", help="one entry, whole, with its contents")
    show.add_argument("--stream", metavar="NAME", help="one run, delivery or session, from its first entry")
    show.add_argument("--kind", metavar="KIND", help="only entries of this kind: model.intent, approval, …")
    show.add_argument("--last", type=int, default=50, metavar="N", help="at most so many (default: %(default)s)")
    status = verbs.add_parser("status", help="how far the log is signed and witnessed; exit code 1 when it is sealed")
    checkpoint = verbs.add_parser("checkpoint", help="sign the log as it is now, and ask the witnesses")
    export = verbs.add_parser("export", help="write a bundle that anybody can verify")
    export.add_argument("folder", type=Path, metavar="FOLDER")
    export.add_argument(
        "--contents", action="append", default=[], metavar="STREAM", help="show this stream's contents, with their keys"
    )
    export.add_argument(
        "--stream",
        action="append",
        default=[],
        metavar="NAME",
        help="show this stream's entries and no others: one run, whole, beside all hashes; repeat",
    )
    verify = verbs.add_parser("verify", help="verify a bundle; needs no state and no network")
    verify.add_argument("bundle", type=Path, metavar="BUNDLE")
    verify.add_argument("--key", required=True, metavar="KEY", help="the log's verifier key, or a file that holds it")
    verify.add_argument("--policy", type=Path, metavar="FILE", help="the witnesses that you believe (C2SP tlog-policy)")
    verify.add_argument(
        "--stream", action="append", default=[], metavar="NAME", help="has to be there, complete; repeat"
    )
    prove = verbs.add_parser("prove", help="print a proof that an entry is in the log (C2SP tlog-proof)")
    prove.add_argument("index", type=int, metavar="INDEX")
    verbs.add_parser("key", help="print the log's verifier key")
    check = verbs.add_parser("check", help="compare the log with all that is known of it, and hash it again")
    kept = ledger_keep.declare(verbs)
    signer = verbs.add_parser("signer", help="run the signer on its own, as another user, until it is stopped")
    signer.add_argument("folder", type=Path, metavar="FOLDER", help="of its key, memory and socket")
    signer.add_argument("--origin", required=True, metavar="NAME", help="the log that it signs for")
    for verb in (show, status, checkpoint, export, verify, check, *kept):
        verb.add_argument("--json", action="store_true", help="one JSON value")


def main(args: argparse.Namespace) -> int:
    try:
        return _main(args)
    finally:
        if args.verb in ("checkpoint", "prove", "key", "check", *ledger_keep.VERBS):
            _home().rest()


def _main(args: argparse.Namespace) -> int:
    return {
        "show": _show,
        "status": _status,
        "checkpoint": _checkpoint,
        "export": _export,
        "verify": _verify,
        "prove": _prove,
        "key": _key,
        "check": _check,
        "erase": lambda args: ledger_keep.erase(_home(), args),
        "hold": lambda args: ledger_keep.hold(_home(), args),
        "prune": lambda args: ledger_keep.prune(_home(), args),
        "rotate-root": lambda args: ledger_keep.rotate_root(_home(), args),
        "signer": _signer,
    }[args.verb](args)


def _home() -> LedgerHome:
    from mohist.app.database import owner_config
    from mohist.app.ledger import LedgerHome

    return LedgerHome(StatePaths.from_env(os.environ).home / "ledger", owner_config(os.environ).ledger, os.environ)


def _show(args: argparse.Namespace) -> int:
    from mohist.ledger import decode

    home = _home()
    log = home.read()
    try:
        if args.index is not None:
            return _one(home, log, args.index, as_json=args.json)
        found: list[tuple[int, dict[str, Any]]] = []
        if args.stream:
            found = [(index, decode(leaf)) for index, leaf in log.stream(args.stream)]
            found = [one for one in found if args.kind in (None, one[1]["kind"])]
        else:
            end = log.size
            while end > 0 and len(found) < args.last:
                start = max(0, end - max(args.last, 256))
                page = [(start + at, decode(leaf)) for at, leaf in enumerate(log.leaves(start, end))]
                found = [one for one in page if args.kind in (None, one[1]["kind"])] + found
                end = start
            found = found[-args.last :]
    finally:
        log.close()
    if args.json:
        print(json.dumps([{"index": index, **entry} for index, entry in found], indent=2, ensure_ascii=False))
        return ExitCode.DONE
    if not found:
        print("No entry fits.")
    for index, entry in found:
        print(_line(index, entry))
    return ExitCode.DONE


def _line(index: int, entry: dict[str, Any]) -> str:
    from mohist.terminal import plain

    moment = datetime.fromtimestamp(entry["at"] / 1_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    said = {**entry.get("about", {}), **entry.get("data", {})}
    words = " ".join(f"{name}={value}" for name, value in said.items() if not isinstance(value, dict | list))
    words = " ".join(words.split())
    return plain(
        f"{index:>8}  {moment}  {entry['kind']:<16} {entry['stream']}#{entry['seq']}  {entry['actor']}  {words}"
    )[:400]


def _one(home: LedgerHome, log: Store, index: int, *, as_json: bool) -> int:
    from mohist.ledger import ErasedError, decode
    from mohist.ledger.errors import AbsentKeyError
    from mohist.terminal import plain

    if not 0 <= index < log.size:
        print(f"mohist: There is no entry {index}; the log has {log.size}.", file=sys.stderr)
        return ExitCode.USAGE
    (leaf,) = log.leaves(index, index + 1)
    entry = decode(leaf)
    shown: dict[str, str] = {}
    vault = home.vault()
    for named in entry.get("payload", ()):
        kept = log.payload(named.get("digest") or named["commitment"])
        if kept is None or kept[2] is None:
            # A key that is gone was dropped with its content.
            shown[named["name"]] = (
                "(dropped: its time was over)" if kept and not kept[1] else "(committed to, not kept)"
            )
            continue
        try:
            shown[named["name"]] = vault.open(kept[0], kept[1], kept[2], named["commitment"]).decode("utf-8", "replace")
        except ErasedError:
            shown[named["name"]] = "(erased)"
        except AbsentKeyError:
            shown[named["name"]] = "(its key is not on this machine)"
    vault.close()
    if as_json:
        print(json.dumps({"index": index, **entry, "contents": shown}, indent=2, ensure_ascii=False))
        return ExitCode.DONE
    print(plain(json.dumps(entry, indent=2, ensure_ascii=False)))
    for name, text in shown.items():
        print(f"\n--- {plain(name)}\n{plain(text)}")
    return ExitCode.DONE


def _status(args: argparse.Namespace) -> int:
    home = _home()
    sealed = home.sealed
    if not home.exists:
        value: dict[str, Any] = {"entries": 0, "sealed": sealed}
        said = ["The ledger is empty: nothing was entered yet."]
    else:
        notary = home.notary(signs=False)
        try:
            standing = notary.standing()
        finally:
            notary.close()
        value = {
            "entries": standing.size,
            "signed": standing.signed_size,
            "witnessed": standing.witnessed,
            "unwitnessed_s": standing.unwitnessed_s,
            "sealed": sealed,
            "on": home.settings.on,
        }
        said = [f"{standing.size} entries, {standing.signed_size} of them signed."]
        said += [f"{name} has cosigned {size}." for name, size in standing.witnessed.items()]
        if not standing.witnessed:
            said.append(
                "No witness is named: that the owner of this log rewrote it could not be told. See docs/ledger.md."
            )
        elif standing.unwitnessed_s is not None:
            said.append(f"Unwitnessed for {standing.unwitnessed_s:.0f} s.")
    if sealed:
        said.append(f"SEALED: {sealed}")
    print(json.dumps(value, indent=2) if args.json else "\n".join(said))
    return ExitCode.FAILED if sealed else ExitCode.DONE


def _checkpoint(args: argparse.Namespace) -> int:
    notary = _home().notary()
    try:
        signed = notary.checkpoint()
    finally:
        notary.close()
    if args.json:
        print(json.dumps({"size": signed.checkpoint.size, "root": signed.checkpoint.root.hex(), "note": str(signed)}))
    else:
        print(signed, end="")
    return ExitCode.DONE


def _export(args: argparse.Namespace) -> int:
    from mohist.app.ledger import export_all

    gone: list[str] = []
    size, key = export_all(
        _home(),
        args.folder,
        streams=args.contents,
        only=args.stream,
        tell=Progress("entries written"),
        gone=gone.extend,
    )
    if args.json:
        print(json.dumps({"folder": str(args.folder), "size": size, "key": key, "missing_contents": gone}, indent=2))
        return ExitCode.DONE
    print(f"{size} entries in {args.folder}" + (f", shown of {', '.join(args.stream)} only" if args.stream else ""))
    if gone:
        print(f"{len(gone)} contents are not there any more: erased, or never kept.")
    print(f"Verify it anywhere:  python {args.folder}/verify.py {args.folder} --key '{key}'")
    return ExitCode.DONE


def _verify(args: argparse.Namespace) -> int:
    from mohist.ledger import verify
    from mohist.ledger.companion import strange

    key = args.key
    if "+" not in key and Path(key).is_file():
        key = Path(key).read_text("utf-8").strip()
    arguments = [str(args.bundle), "--key", key]
    if args.policy:
        arguments += ["--policy", str(args.policy)]
    for stream in args.stream:
        arguments += ["--stream", stream]
    code = verify.main([*arguments, "--json"] if args.json else arguments)
    if code == ExitCode.DONE and (said := strange(args.bundle, key)):
        for line in said:
            print(f"NO  {'companions':<11} {line}", file=sys.stderr if args.json else sys.stdout)
        return ExitCode.FAILED
    return code


def _prove(args: argparse.Namespace) -> int:
    from mohist.ledger import note, proof

    home = _home()
    log, archive = home.read(), home.archive()
    try:
        if not 0 <= args.index < log.size:
            print(f"mohist: There is no entry {args.index}; the log has {log.size}.", file=sys.stderr)
            return ExitCode.USAGE
        checkpoints = archive.covering(args.index, proof.CANDIDATES)
        if not checkpoints:
            notary = home.notary()
            try:
                checkpoints = [notary.checkpoint()]
            finally:
                notary.close()
        witnesses = [note.VerifierKey.parse(line.split()[0]) for line in home.settings.witnesses]
        print(proof.best(args.index, checkpoints, log.inclusion, witnesses, home.settings.quorum), end="")
    finally:
        archive.close()
        log.close()
    return ExitCode.DONE


def _key(_: argparse.Namespace) -> int:
    print(_home().log_key())
    return ExitCode.DONE


def _check(args: argparse.Namespace) -> int:
    home = _home()
    faults, left_out = [home.sealed] if home.sealed else [], []
    try:
        left_out = home.examine()
        if back := home.replay():
            left_out.append(
                f"{back} keys of erased subjects had come back, as with a restored backup; they are gone again"
            )
        log = home.read()
        try:
            log.scrub(Progress("entries hashed"))
            size = log.size
        finally:
            log.close()
    except MohistError as error:
        faults.append(str(error))
        size = 0
    if args.json:
        print(json.dumps({"holds": not faults, "entries": size, "faults": faults, "not_compared": left_out}, indent=2))
    else:
        for said in left_out:
            print(f"not compared: {said}")
        print("\n".join(f"NO  {fault}" for fault in faults) or f"ok  {size} entries are what they were.")
    return ExitCode.FAILED if faults else ExitCode.DONE


def _signer(args: argparse.Namespace) -> int:
    from mohist.ledger import signing

    print(
        f'Signs for {args.origin}; set ledger.signer_socket = "{(args.folder / signing.SOCKET).absolute()}".',
        file=sys.stderr,
    )
    return signing.main([str(args.folder), "--origin", args.origin, "--stay"])
