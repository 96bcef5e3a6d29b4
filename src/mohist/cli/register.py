"""`mohist register`: which tools may be used, in which versions, from when on, and what people use instead."""

from __future__ import annotations

import argparse
import json
import os
from typing import TYPE_CHECKING, Any

from mohist.base import ExitCode
from mohist.cli import register_check, register_entry, register_move
from mohist.cli.register_change import changed

if TYPE_CHECKING:
    from mohist.gateway.register import Proposal

EPILOG = """\
An entry speaks of a tool, by name, and of a range of its versions. The most specific one holds; of several the strictest.
Before its date people are warned, from the date on refused, always told what to use instead and how to begin.
The gateway, `mohist govern` and `mohist register check` hold people to it. What a client says of itself can be forged; a key
that was made for a tool (mohist keys create --tool) can't be used as another.

tools: claude-code, codex, qwen-code, opencode, aider, … (every form of it), or one form: npm:@scope/name, pypi:name,
vscode:publisher.name, jetbrains:plugin.id, mcp:name, program:name, agent:name (in a User-Agent); with * for all that match.

examples:
  mohist register add claude-code --versions '>=2.1.91 <2.1.197' --banned --from 2026-12-01 \\
      --reason "marks prompts by time zone and host" --evidence vet/report.json \\
      --alternative qwen-code --first-step "mohist govern -- qwen"
  mohist register add qwen-code --restricted --only-governed --only-model 'qwen*' --reason "vetted so" \\
      --first-step "mohist govern -- qwen" --expires 2027-06-01 --owner platform
  mohist register add 'mcp:*' --banned --reason "not examined" --alternative "mcp:github" --first-step "ask platform"
  mohist register set claude-code --from 2026-12-15
  mohist register set --unlisted deny                  refuse what no entry speaks of
  mohist register set --two-persons on                 changes wait for: mohist register approve PROPOSAL
  mohist register list --json
  mohist register check                                what is installed on this machine; exit code 1: something is refused
  mohist register check --tool claude-code@2.1.120     what holds of one tool
  mohist register export > register.toml               for /etc/mohist/register.toml of other machines
  mohist register users claude-code                    who called with what an entry warned of or refused
  mohist register history                              who changed what, from the ledger"""


_EXAMPLES = {
    "list": ("list --disposition banned", "list --tool claude-code --json", "list --waiting"),
    "add": (
        "add claude-code --banned --from 2026-12-01 --reason x --alternative qwen-code --first-step 'mohist govern -- qwen'",
        "add 'npm:@modelcontextprotocol/*' --allowed --evidence vet/report.json --owner platform --expires 2027-06-01",
        'add codex --restricted --not-repository \'git.example.com/payments/*\' --reason "contract" --first-step "ask legal"',
    ),
    "set": (
        "set claude-code --from 2026-12-15",
        "set claude-code --expires never",
        'set --unlisted deny --ask "write to tools@…"',
    ),
    "remove": ("remove claude-code",),
    "approve": ("approve proposal-01jd…", "approve --withdraw proposal-01jd…"),
    "export": ("export > register.toml", "export --json"),
    "import": ("import register.toml", "import register.toml --replace --json"),
    "users": ("users claude-code --days 7", "users --json"),
    "history": ("history --entry claude-code", "history --last 5 --json"),
}


def declare(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    raw = argparse.RawDescriptionHelpFormatter
    listing = verbs.add_parser("list", help="entries and settings in force, and what waits for approval")
    listing.add_argument("--tool", default="", metavar="TOOL", help="those alone that speak of this tool")
    listing.add_argument("--disposition", choices=("allowed", "restricted", "banned"))
    listing.add_argument("--waiting", action="store_true", help="proposals alone")
    add = verbs.add_parser("add", help="a new entry", formatter_class=raw)
    add.add_argument("tool", metavar="TOOL")
    add.add_argument("--id", default="", metavar="ID", help="what the entry is called (default: by the tool)")
    register_entry.declare(add)
    change = verbs.add_parser("set", help="change an entry, or the settings of the register", formatter_class=raw)
    change.add_argument("entry", nargs="?", default="", metavar="ID", help="the entry; none: the settings")
    register_entry.declare(change)
    change.add_argument("--unlisted", choices=("allow", "deny"), help="setting: tools that no entry speaks of")
    change.add_argument("--two-persons", choices=("on", "off"), help="setting: changes need somebody else's approval")
    change.add_argument("--ask", metavar="TEXT", help="setting: the first step for who needs a tool that is not listed")
    removing = verbs.add_parser("remove", help="take an entry away")
    removing.add_argument("entry", metavar="ID")
    approving = verbs.add_parser("approve", help="put somebody else's proposal in force")
    approving.add_argument("proposal", metavar="PROPOSAL")
    approving.add_argument("--withdraw", action="store_true", help="end it instead, unmade")
    moving = [*register_move.declare(verbs), *register_check.declare(verbs)]
    for name, lines in _EXAMPLES.items():
        verbs.choices[name].formatter_class = raw
        verbs.choices[name].epilog = "examples:\n" + "\n".join(f"  mohist register {line}" for line in lines)
    for sub in (listing, add, change, removing, approving, *moving):
        sub.add_argument("--json", action="store_true", help="as JSON")


def main(args: argparse.Namespace) -> int:
    match args.verb:
        case "check":
            return register_check.main(args)
        case "export" | "import" | "users" | "history":
            return register_move.main(args)
        case "list":
            return _list(args)
        case "approve":
            return _approve(args)
        case _:
            return _change(args)


def _change(args: argparse.Namespace) -> int:
    from mohist.app.register import opened
    from mohist.gateway.register import Edit

    with opened(os.environ) as store:
        if args.verb == "remove":
            return changed(store, Edit(removed=(args.entry,)), args)
        if args.verb == "add":
            entry = register_entry.made(args, store.register())
            return changed(store, Edit((entry,)), args, fresh=True)
        return changed(store, register_entry.edited(args, store.register()), args)


def _approve(args: argparse.Namespace) -> int:
    from mohist.app.register import opened

    with opened(os.environ) as store:
        made = store.withdraw(args.proposal) if args.withdraw else store.approve(args.proposal)
    if args.json:
        print(json.dumps(_proposal_row(made), indent=2, ensure_ascii=False))
    else:
        print(f"{made.proposal_id} is {made.decision}." + ("" if args.withdraw else " It is in force."))
    return ExitCode.DONE


def _list(args: argparse.Namespace) -> int:
    from mohist.app.register import described, opened
    from mohist.policy.register import as_mapping, tool_named
    from mohist.terminal import plain

    with opened(os.environ) as store:
        register, waiting = store.register(), store.proposals()
    entries = [entry for entry in register.entries if args.disposition in (None, entry.disposition)]
    if args.tool:
        tool = tool_named(args.tool)
        entries = [entry for entry in entries if any(entry.names(name) for name in (*tool.names, *tool.kin))]
    if args.waiting:
        entries = []
    if args.json:
        settings = {"unlisted": register.settings.unlisted, "two_persons": register.settings.two_persons}
        said: dict[str, Any] = {
            "settings": {**settings, "ask": register.settings.ask},
            "entries": [as_mapping(entry) for entry in entries],
            "waiting": [_proposal_row(one) for one in waiting],
        }
        print(json.dumps(said, indent=2, ensure_ascii=False))
        return ExitCode.DONE
    for entry in entries:
        print(plain(described(entry)))
    for one in waiting:
        touched = ", ".join([*(each["id"] for each in one.edit.get("set", ())), *one.edit.get("removed", ())])
        print(plain(f"waits: {one.proposal_id} by {one.user}: {touched or 'settings'}"))
    if not args.waiting:
        other = "refused" if register.settings.unlisted == "deny" else "allowed"
        two = "; changes need two persons" if register.settings.two_persons else ""
        print(f"What no entry speaks of is {other}{two}.")
    return ExitCode.DONE


def _proposal_row(one: Proposal) -> dict[str, Any]:
    return {
        "proposal": one.proposal_id,
        "at_ms": one.at_ms,
        "user": one.user,
        "change": one.edit,
        "before": one.before,
        "decided_by": one.decided_by,
        "decision": one.decision,
    }
