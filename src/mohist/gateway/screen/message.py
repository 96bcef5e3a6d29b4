"""What the person behind a client is told when a call is stopped. Clients show one text, some of them its first lines only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mohist.gateway.guard import Destination
from mohist.gateway.screen.judge import Judged
from mohist.gateway.screen.note import short
from mohist.gateway.screen.place import message_number, words

SHOWN: Final = 5
"""Findings that are told one by one."""
_NAMES: Final = {
    "secret": "a secret",
    "personal": "personal data",
    "source": "restricted source code",
    "document": "a confidential document",
    "covert": "hidden characters",
    "injection": "instructions planted for the model",
    "exfiltration": "data in a web address",
}


def stopped(found: Sequence[Judged], destination: Destination, others: Sequence[str]) -> str:
    """Why a request was not sent, and how to go on.

    Args:
        found: what stopped it, at least one.
        destination: who would have got it.
        others: models that run on machines of one's own.
    """
    to = destination.vendor or destination.upstream
    lines = [f"Mohist's guard did not send this request to {to}: it holds {_what(found)}."]
    distinct = list({(one.finding.value_digest, one.finding.rule): one for one in found}.values())
    for one in distinct[:SHOWN]:
        finding = one.finding
        via = f", inside {' in '.join(reversed(finding.via))}" if finding.via else ""
        lines.append(
            f"- {finding.shown} in {words(one.block, finding.start)}{via} "
            f"[{finding.rule}; rule {one.decision.rule}; id {short(finding)}]"
            + (f" {one.decision.because}" if one.decision.because else "")
        )
    if len(distinct) > SHOWN:
        lines.append(f"- and {len(distinct) - SHOWN} more")
    lines.append("To go on, do one of these:")
    numbers = sorted({number for one in found if (number := message_number(one.block)) is not None})
    if numbers:
        lines.append(
            f"- Take it out of the conversation. All of it is sent again each time, so go back to before message {numbers[0]} "
            "(/rewind in Claude Code), or start a new one (/clear, /new), and keep the file or command from being read again."
        )
    else:
        lines.append("- Take it out of the client's instructions or settings.")
    if others:
        lines.append(f"- Use a model on a machine of your own: {', '.join(others[:SHOWN])}.")
    lines.append(
        "- If it may be sent, whoever runs the gateway can let it pass: "
        f"mohist guard release {short(distinct[0].finding)} --for 1h --because REASON"
    )
    return "\n".join(lines)


def withheld(found: Sequence[Judged]) -> str:
    """Why an answer was broken off."""
    finding = found[0].finding
    return (
        f"Mohist's guard broke off this answer: it holds {_what(found)} "
        f"[{finding.rule}; rule {found[0].decision.rule}; id {short(finding)}]. Ask in another way, or have it released: "
        f"mohist guard release {short(finding)} --for 1h --because REASON"
    )


def _what(found: Sequence[Judged]) -> str:
    kinds = list(dict.fromkeys(one.finding.data_class.partition(".")[0] for one in found))
    named = [_NAMES.get(kind, kind) for kind in kinds]
    return named[0] if len(named) == 1 else f"{', '.join(named[:-1])} and {named[-1]}"
