"""The register, asked before a client starts: whether it may be used, until when, and what to use instead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mohist.app.govern.installation import Installation
from mohist.app.govern.order import Judge, Standing, Use
from mohist.app.register import decide
from mohist.policy.register import Refused, Tool, Warned, tool_named


def registered(env: Mapping[str, str]) -> Judge:
    """Asks the registers that hold on this machine.

    Args:
        env: for the state folder and the machine's settings.
    """

    def judge(use: Use) -> Standing:
        outcome = decide(tool_of(use), use.installation.version, env, project=use.root, governed=True, model=use.model)
        if isinstance(outcome, Refused):
            return Standing("refused", outcome.text, outcome.entry_id)
        if isinstance(outcome, Warned):
            return Standing("warned", outcome.text, outcome.entry_id)
        return Standing("allowed", "", outcome.entry_id)

    return judge


def bound_name(installation: Installation) -> str:
    """What the run's key is bound to, "npm:NAME@VERSION": no call of the run is another tool's."""
    name = installation.package or f"program:{installation.program.name}"
    return f"{name}@{installation.version}" if installation.version else name


def tool_of(use: Use) -> Tool:
    """What it is by the records of its installer; a program's own name is only what somebody called a file.

    So a package of another's that brings a program called `claude` is not taken for Claude Code where that is allowed, and
    is where it is banned.
    """
    installation = use.installation
    called = f"program:{installation.program.name}"
    if not installation.package:
        # Nothing else is known of it. What the person typed may be a link's name, and the better known one.
        return replace(tool_named(f"program:{use.called}", installation.version), claims=(called,))
    tool = tool_named(installation.package, installation.version)
    claims = (called, f"program:{use.called}", use.client.name)
    return replace(tool, claims=tuple(name for name in dict.fromkeys(claims) if name not in tool.names))
