"""The report as one HTML file: nothing is fetched, nothing runs, every word of others is escaped.

A policy in the file itself forbids scripts and requests, so that even a mistake here could do nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from mohist.delivery.account import FileChange, Line, Report, holds, phase_of, usd, visible, when, why

_STYLE: Final = """
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#59636e;--paper:#fff;--line:#d9dee3;--good:#1a7f37;--bad:#b42318;--warn:#8a5a00;--tint:#f5f7f9}
@media (prefers-color-scheme:dark){:root{--ink:#e6e9ec;--soft:#9aa5b1;--paper:#14171a;--line:#333a41;--good:#4ac26b;--bad:#ff7b72;--warn:#d9a23b;--tint:#1c2126}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:72rem;padding:2rem 1.25rem;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
h1{font-size:1.6rem;line-height:1.25;margin:0 0 .25rem}h2{font-size:1.05rem;margin:2rem 0 .5rem}
p{margin:.25rem 0}.soft{color:var(--soft)}.good{color:var(--good)}.bad{color:var(--bad)}.warn{color:var(--warn)}
td>.good,td>.warn{white-space:nowrap}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(10rem,1fr));gap:.75rem;margin:1.25rem 0}
.card{background:var(--tint);border:1px solid var(--line);border-radius:.5rem;padding:.75rem 1rem}
.card b{display:block;font-size:1.25rem;line-height:1.3;overflow-wrap:anywhere}.card span{color:var(--soft);font-size:.85rem}
blockquote{margin:.5rem 0;padding:.25rem 1rem;border-left:3px solid var(--line);white-space:pre-wrap;overflow-wrap:anywhere}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.9rem}
th,td{text-align:left;vertical-align:top;padding:.4rem .6rem;border-bottom:1px solid var(--line);overflow-wrap:anywhere}
th{color:var(--soft);font-weight:600;white-space:nowrap}code{font:.85em ui-monospace,monospace;overflow-wrap:anywhere}
ul{margin:.25rem 0;padding-left:1.25rem}details summary{cursor:pointer;color:var(--soft)}
"""
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_TONES: Final = {
    "done": "good",
    "committed": "good",
    "fixed": "good",
    "approve": "good",
    "yes": "good",
    "failed": "bad",
    "no": "bad",
    "rejected": "bad",
    "reject": "bad",
    "blocker": "bad",
    "rolled-back": "warn",
    "waiting": "warn",
    "skipped": "warn",
    "major": "warn",
    "paused": "warn",
    "cancelled": "warn",
}


def render_page(report: Report) -> str:
    """The whole file."""
    delivery = report.delivery
    facts = [
        f"Delivery <code>{_text(delivery.delivery_id)}</code>",
        f"asked for by {_text(delivery.requested_by)} ({_text(delivery.source)})",
        f"{when(delivery.created_at_ms)} UTC",
        f"change <code>{_text(delivery.commit[:12]) or 'none'}</code> on <code>{_text(delivery.base_commit[:12])}</code>",
    ]
    body = [
        f"<h1>{_text(report.title)}</h1>",
        f'<p><b class="{_tone(delivery.status)}">{_text(delivery.status)}</b>: {_text(report.verdict)}.</p>',
        f'<p class="soft">{" · ".join(facts)}</p>',
        f'<p class="warn">{_text(delivery.detail)}</p>' if delivery.detail else "",
        _cards(report),
        _section("Requirement", f"<blockquote>{_text(delivery.requirement)}</blockquote>"),
        _section("Criteria", _criteria(report.lines)),
        _section("Deploy", _releases(report)),
        _section("Who decided", _decisions(report)),
        _section("Ordered and said beside", _orders(report)) if report.orders else "",
        _section("Not done, skipped, waived", _list(report.not_done)),
        _section("Findings", _findings(report)),
        _section("Checks of the project", _checks(report.checks)),
        _section("Cost", _cost(report)),
        _section("Files", _files(report.files)),
        _section("Evidence", f"<p>{_text(report.ledger)}</p>") if report.ledger else "",
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_text(report.title)}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(part for part in body if part)
        + "\n</body></html>\n"
    )


def _cards(report: Report) -> str:
    held = sum(line.row.holds is True for line in report.lines)
    serving = [one.environment for one in report.releases if one.status == "committed"]
    approvals = sum(one.decision.verdict == "approve" for one in report.told)
    cards = [
        (f"{held} / {len(report.lines)}", "criteria hold", "good" if held == len(report.lines) else "bad"),
        (report.delivery.merged[:8] or "no", "merged", "good" if report.delivery.merged else "warn"),
        (", ".join(serving) or "nowhere", "serves in", "good" if serving else "warn"),
        (str(approvals), "approvals", ""),
        (usd(report.cost_microusd, report.unpriced), f"{report.tokens} tokens", ""),
        (str(len(report.not_done)), "not done, skipped, waived", "warn" if report.not_done else "good"),
    ]
    made = (
        f'<div class="card"><b class="{tone}">{_text(big)}</b><span>{_text(small)}</span></div>'
        for big, small, tone in cards
    )
    return f'<div class="cards">{"".join(made)}</div>'


def _criteria(lines: Sequence[Line]) -> str:
    rows = [
        (
            f"<b>{_text(line.row.subject)}</b><br>{_text(line.text)}",
            _code(line.row.command) if line.row.command else "a person looks",
            _text(line.row.before),
            _toned(line.row.after, "good" if line.row.after == "passes" else "bad"),
            _toned(holds(line.row), _tone(holds(line.row).partition(":")[0])),
            _proofs(line),
            _spots(line.files),
        )
        for line in lines
    ]
    return _table(("criterion", "check", "before", "after", "holds", "evidence", "lines"), rows)


def _checks(lines: Sequence[Line]) -> str:
    rows = [
        (
            _text(line.row.subject),
            _code(line.row.command),
            _text(line.row.before),
            _text(line.row.after),
            _toned(holds(line.row), _tone(holds(line.row).partition(":")[0])),
            _proofs(line),
        )
        for line in lines
    ]
    return _table(("check", "command", "before", "after", "holds", "evidence"), rows)


def _proofs(line: Line) -> str:
    rows = []
    for one in line.evidence:
        code = one.exit_code if one.exit_code is not None else "none"
        rows.append(
            f"<li>{_text(phase_of(one))}: exit {code}, {one.passes}/{one.runs} pass, "
            f"<code title={_quoted(one.output_sha256)}>{_text(one.output_sha256[:12])}</code></li>"
        )
    tail = next((one.output_tail for one in reversed(line.evidence) if one.output_tail.strip()), "")
    shown = (
        f"<details><summary>output</summary><blockquote><code>{_text(tail)}</code></blockquote></details>"
        if tail
        else ""
    )
    return f"<ul>{''.join(rows)}</ul>{shown}" if rows else ""


def _spots(files: Sequence[FileChange]) -> str:
    return "<br>".join(f"{_code(one.path)} {_text(', '.join(one.hunks))}" for one in files)


def _releases(report: Report) -> str:
    rows = [
        (
            _text(one.environment),
            _code(one.release_id),
            _code(one.commit[:12]),
            _toned(one.status, _tone(one.status)),
            when(one.at_ms),
            _text(one.detail),
        )
        for one in report.releases
    ]
    return _table(("environment", "release", "commit", "status", "when (UTC)", "health"), rows)


def _decisions(report: Report) -> str:
    rows = [
        (
            when(one.decision.at_ms),
            _text(one.decision.by),
            _toned(one.decision.verdict, _tone(one.decision.verdict)),
            _text(one.gate.subject),
            f"<code title={_quoted(one.decision.digest)}>{_text(one.decision.digest[:12])}</code>",
            _text(why(one.decision)),
        )
        for one in report.told
    ]
    return _table(("when (UTC)", "who", "said", "about", "digest", "why"), rows)


def _orders(report: Report) -> str:
    rows = [
        (when(one.at_ms), _text(str(one.facts.get("by", ""))), _text(one.kind), _text(one.text))
        for one in report.orders
    ]
    return _table(("when (UTC)", "who", "what", "words"), rows)


def _findings(report: Report) -> str:
    rows = [
        (
            _toned(one.severity, _tone(one.severity)),
            _code(f"{one.path}:{one.line}") if one.path else "",
            _text(one.text),
            _text(one.by),
            _toned(one.status, _tone(one.status)),
        )
        for one in report.findings
    ]
    return _table(("severity", "where", "what", "by", "status"), rows)


def _cost(report: Report) -> str:
    rows = [
        (
            _text(row.stage),
            str(row.attempt),
            _toned(row.status, _tone(row.status)),
            _text(row.model),
            str(row.tokens),
            usd(row.cost_microusd, row.unpriced),
            _text(row.detail),
        )
        for row in report.stages
    ]
    return _table(("stage", "attempt", "ended", "model", "tokens", "cost", "what came of it"), rows)


def _files(files: Sequence[FileChange]) -> str:
    rows = [(_code(one.path), str(one.added), str(one.removed), _text(", ".join(one.hunks))) for one in files]
    return _table(("file", "added", "removed", "lines"), rows)


def _section(name: str, inner: str) -> str:
    return f"<section><h2>{name}</h2>{inner}</section>"


def _list(items: Iterable[str]) -> str:
    rows = "".join(f"<li>{_text(one)}</li>" for one in items)
    return f"<ul>{rows}</ul>" if rows else '<p class="good">Nothing.</p>'


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Cells are HTML already."""
    if not rows:
        return '<p class="soft">None.</p>'
    top = "".join(f"<th>{name}</th>" for name in head)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _toned(text: str, tone: str) -> str:
    return f'<span class="{tone}">{_text(text)}</span>'


def _tone(word: str) -> str:
    return _TONES.get(word, "")


def _code(text: str) -> str:
    return f"<code>{_text(text)}</code>"


def _quoted(text: str) -> str:
    return f'"{_text(text)}"'


def _text(text: str) -> str:
    """Escaped; controls and marks that turn text round are shown as what they are."""
    return escape(visible(text), quote=True)
