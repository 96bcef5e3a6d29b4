"""Stage 9, Report: the account of a delivery as Markdown and as one HTML file, beside its spec and plan."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from mohist.delivery.account import Report, gather, holds, places, proofs, usd, visible, when, why
from mohist.delivery.page import render_page
from mohist.delivery.stage import Context, Ended, ask

MARKDOWN_FILE: Final = "report.md"
PAGE_FILE: Final = "report.html"
_MARKS: Final = re.compile(r"([\\`*_{}\[\]<>#|~])")


async def run(context: Context) -> Ended:
    """Writes the report beside spec and plan."""
    report = await gather(context.book, context.ground, context.delivery_id, as_of="report")
    await ask(write, context.desk, report)
    return Ended("done", str(context.desk / PAGE_FILE))


def write(desk: Path, report: Report) -> None:
    """Both files; whole or not at all."""
    desk.mkdir(parents=True, exist_ok=True)
    for name, text in ((MARKDOWN_FILE, markdown(report)), (PAGE_FILE, render_page(report))):
        fresh = desk / f"{name}.new"
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(desk / name)


def markdown(report: Report) -> str:
    """The report as Markdown; text of others can't become markup."""
    delivery = report.delivery
    parts = [
        f"# {safe(report.title)}",
        f"**{safe(delivery.status)}**: {safe(report.verdict)}.",
        f"Delivery `{delivery.delivery_id}`, asked for by {safe(delivery.requested_by)} ({safe(delivery.source)}), "
        f"{when(delivery.created_at_ms)}; base {delivery.base_commit[:12]} on {safe(delivery.base_branch or 'no branch')}"
        + (f"; change {delivery.commit[:12]}" if delivery.commit else "")
        + (f". {safe(delivery.detail)}" if delivery.detail else ""),
        "## Requirement",
        "\n".join(f"> {safe(line)}" for line in delivery.requirement.splitlines()),
        "## Criteria",
        _table(
            ("criterion", "says", "check", "before", "after", "holds", "evidence", "lines"),
            [
                (
                    line.row.subject,
                    line.text,
                    line.row.command or "a person looks",
                    line.row.before,
                    line.row.after,
                    holds(line.row),
                    proofs(line),
                    places(line.files),
                )
                for line in report.lines
            ],
        ),
        "## Checks of the project",
        _table(
            ("check", "command", "before", "after", "holds", "evidence"),
            [
                (line.row.subject, line.row.command, line.row.before, line.row.after, holds(line.row), proofs(line))
                for line in report.checks
            ],
        ),
        "## Deploy",
        _table(
            ("environment", "release", "commit", "status", "when", "health"),
            [
                (one.environment, one.release_id, one.commit[:12], one.status, when(one.at_ms), one.detail)
                for one in report.releases
            ],
        ),
        "## Decisions",
        _table(
            ("when", "who", "said", "about", "digest", "why"),
            [
                (
                    when(one.decision.at_ms),
                    one.decision.by,
                    one.decision.verdict,
                    one.gate.subject,
                    one.decision.digest[:16],
                    why(one.decision),
                )
                for one in report.told
            ],
        ),
        "## Ordered and said beside" if report.orders else "",
        _table(
            ("when", "who", "what", "words"),
            [(when(one.at_ms), str(one.facts.get("by", "")), one.kind, one.text) for one in report.orders],
        )
        if report.orders
        else "",
        "## Cost",
        _table(
            ("stage", "attempt", "ended", "model", "tokens", "cost", "what came of it"),
            [
                (
                    row.stage,
                    str(row.attempt),
                    row.status,
                    row.model,
                    str(row.tokens),
                    usd(row.cost_microusd, row.unpriced),
                    row.detail,
                )
                for row in report.stages
            ],
        ),
        f"Together {usd(report.cost_microusd, report.unpriced)} and {report.tokens} tokens.",
        "## Not done, skipped, waived",
        "\n".join(f"- {safe(one)}" for one in report.not_done) or "Nothing.",
        "## Findings",
        _table(
            ("severity", "where", "what", "by", "status"),
            [
                (one.severity, f"{one.path}:{one.line}" if one.path else "", one.text, one.by, one.status)
                for one in report.findings
            ],
        ),
        "## Files",
        _table(
            ("file", "added", "removed", "lines"),
            [(one.path, str(one.added), str(one.removed), ", ".join(one.hunks)) for one in report.files],
        ),
        "## Evidence" if report.ledger else "",
        safe(report.ledger),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def safe(text: str) -> str:
    """Text of others on one line, without meaning in Markdown or HTML."""
    return _MARKS.sub(r"\\\1", visible(" ".join(text.split()))).replace("&", "&amp;")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return "None."
    made = [head, ["---"] * len(head), *([safe(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in made)
