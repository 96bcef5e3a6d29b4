"""What is told at the end of a governed run: how it ended, what it had of the gateway, what it tried to reach."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mohist.app.govern.account import Account
from mohist.app.govern.tally import Reached, Tally
from mohist.base import ExitCode

_MAX_ROWS = 40
_INTERRUPTED = (130, 143, 129)
"""128 and SIGINT, SIGTERM, SIGHUP: somebody stopped it."""


def exit_code(client_code: int, account: Account, *, stopped: bool) -> ExitCode:
    """What Mohist's own exit code is for a client's; which one it was is in the report."""
    if stopped or client_code in _INTERRUPTED:
        return ExitCode.CANCELLED
    if client_code == 0:
        return ExitCode.DONE
    return account.refused or ExitCode.FAILED


def report(
    run: Mapping[str, Any], code: ExitCode, client_code: int, account: Account, tally: Tally, ms: int
) -> dict[str, Any]:
    """The whole of it.

    Args:
        run: what was in force; see `launch`.
        code: Mohist's exit code.
        client_code: the client's.
        ms: how long it ran.
    """
    return {
        "schema": "mohist/govern/1",
        **run,
        "exit_code": int(code),
        "client_exit_code": client_code,
        "duration_ms": ms,
        "gateway": account.as_json(),
        "attempts": tally.attempts,
        "refused": tally.refused,
        "network": tally.as_json(),
    }


def table(account: Account, tally: Tally, gateway: str, client_code: int, denied: str) -> tuple[str, ...]:
    """The same for people.

    Args:
        gateway: the name that the gateway goes by.
        denied: what the sandbox refused, when that can be told; empty: nothing.
    """
    calls = f"govern: {account.calls} model call(s)"
    if account.input_tokens or account.output_tokens:
        calls += f", {account.input_tokens:,} tokens in, {account.output_tokens:,} out"
    if account.cost_microusd:
        calls += f", ${account.cost_microusd / 1e6:,.4f}"
    lines = [calls]
    refused = {name: count for name, count in sorted(account.verdicts.items()) if name != "allowed"}
    if refused:
        lines.append("govern: calls not made: " + ", ".join(f"{count} {name}" for name, count in refused.items()))
    others = tally.outside(gateway)
    if others:
        lines.append(f"govern: it tried to reach {len(others)} host(s) besides the gateway:")
        width = max(len(row.host) for row in others[:_MAX_ROWS])
        lines += [_line(row, width, tally) for row in others[:_MAX_ROWS]]
        if len(others) > _MAX_ROWS:
            lines.append(f"  and {len(others) - _MAX_ROWS} more; --json FILE has all of them")
    else:
        lines.append("govern: it tried to reach nothing but the gateway")
    if denied:
        lines.append(f"govern: the sandbox: {denied}")
    if client_code:
        lines.append(f"govern: the client ended with {client_code}")
    return tuple(lines)


def _line(row: Reached, width: int, tally: Tally) -> str:
    ports = ",".join(str(port) for port in sorted(row.ports)) or "name"
    words = [f"  {row.verdict:8} {row.host:{width}}  {ports:8} {row.outcomes.total():>4}x"]
    if row.codes:
        words.append(",".join(sorted(row.codes)))
    if row.outcomes["through"]:
        words.append(f"{row.sent_bytes:,} bytes out, {row.received_bytes:,} in")
    if why := tally.why(row.host):
        words.append(f"(known: {why})")
    return "  ".join(words)
