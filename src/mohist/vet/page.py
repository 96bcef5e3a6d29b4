"""The report as one HTML file: nothing is fetched, nothing runs, every word of a subject is escaped.

Its first screen is for who decides: what is recommended, under which conditions, and why, in sentences. What follows is for who
checks: each finding with its evidence and how to see it again. A policy in the file itself forbids scripts and requests.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from mohist.vet.account import Account
from mohist.vet.criterion import CRITERIA, NEEDED, Met
from mohist.vet.evidence import Evidence
from mohist.vet.finding import STEPS, Finding

SHOWN_MAX: Final = 20
"""Pieces of evidence of one finding on the page; all are in the evidence files."""
_STYLE: Final = """
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#59636e;--paper:#fff;--line:#d9dee3;--allowed:#1a7f37;--restricted:#8a5a00;--banned:#b42318;--tint:#f5f7f9}
@media (prefers-color-scheme:dark){:root{--ink:#e6e9ec;--soft:#9aa5b1;--paper:#14171a;--line:#333a41;--allowed:#4ac26b;--restricted:#d9a23b;--banned:#ff7b72;--tint:#1c2126}}
*{box-sizing:border-box}body{margin:0 auto;max-width:64rem;padding:2rem 1.25rem;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
h1{font-size:1.5rem;line-height:1.25;margin:0;overflow-wrap:anywhere}h2{font-size:1.1rem;margin:2.25rem 0 .5rem}h3{font-size:1rem;margin:0}
p{margin:.3rem 0}.soft{color:var(--soft)}ul{margin:.25rem 0;padding-left:1.25rem}
.verdict{border:1px solid var(--line);border-left:.5rem solid var(--tone);border-radius:.5rem;padding:1rem 1.25rem;margin:1.25rem 0;background:var(--tint)}
.verdict b.big{font-size:1.4rem;color:var(--tone)}.allowed{--tone:var(--allowed)}.restricted{--tone:var(--restricted)}.banned{--tone:var(--banned)}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.5rem,1fr));gap:.75rem;margin:1rem 0}
.card{border:1px solid var(--line);border-radius:.5rem;padding:.6rem .9rem}.card b{display:block;font-size:1.3rem}.card span{color:var(--soft);font-size:.85rem}
.finding{border:1px solid var(--line);border-radius:.5rem;padding:.75rem 1rem;margin:.6rem 0}.tag{font-size:.8rem;border:1px solid var(--tone,var(--line));color:var(--tone,var(--soft));border-radius:1rem;padding:0 .55rem;white-space:nowrap}
.high{--tone:var(--banned)}.medium{--tone:var(--restricted)}
code,pre{font:.85em ui-monospace,monospace;overflow-wrap:anywhere}pre{white-space:pre-wrap;background:var(--tint);padding:.5rem .75rem;border-radius:.35rem;margin:.35rem 0}
table{border-collapse:collapse;width:100%;font-size:.92rem}th,td{text-align:left;vertical-align:top;padding:.35rem .6rem;border-bottom:1px solid var(--line);overflow-wrap:anywhere}th{color:var(--soft)}
details summary{cursor:pointer}
"""
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_SENTENCES: Final = {
    "allowed": "Nothing was observed that speaks against using it.",
    "restricted": "It can be used under the conditions below.",
    "banned": "What was observed speaks against using it.",
}
_STEP_NAMES: Final = {
    "acquire": "what it is: artefact, hashes, signatures, install scripts",
    "static": "what it holds: hosts, encoded tables, facts it reads, characters",
    "behave": "what it does: files, processes, names, connections, decoys",
    "differ": "what its requests depend on: one fact varied at a time, and in pairs",
    "repository": "what a hostile repository makes it do before anybody agrees",
    "compare": "what is new since the version that was vetted before",
}


def render_page(account: Account) -> str:
    """The whole file."""
    body = [
        f"<h1>{_text(account.subject)}</h1>",
        f'<p class="soft">Examined by mohist {_text(account.version)}. A person decides; this is a recommendation by written criteria.</p>',
        _verdict(account),
        _cards(account),
        _list("What it rests on", [_reason(met) for met in account.proposal.met]),
        _findings(account),
        _unread(account),
        _criteria(account),
        _steps(account),
        f"<h2>See it again</h2><pre>{_text(account.command)}</pre>",
        f"<h2>Make it binding</h2><pre>{_text(account.binding)}</pre>" if account.binding else "",
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_text(account.subject)}: {account.proposal.disposition}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(part for part in body if part)
        + "\n</body></html>\n"
    )


def _verdict(account: Account) -> str:
    proposal = account.proposal
    conditions = "".join(f"<li>{_text(one)}</li>" for one in proposal.conditions)
    missing = ""
    if proposal.missing:
        missing = f"<p><b>Not complete:</b> {len(proposal.missing)} of {len(NEEDED)} steps were not done ({_text(', '.join(proposal.missing))}).</p>"
    return (
        f'<div class="verdict {proposal.disposition}"><p class="soft">Recommended</p>'
        f'<b class="big">{proposal.disposition}</b><p>{_SENTENCES[proposal.disposition]}</p>'
        + (f"<p><b>Conditions</b></p><ul>{conditions}</ul>" if conditions else "")
        + missing
        + "</div>"
    )


def _cards(account: Account) -> str:
    steps = len(account.records)
    cards = [
        (account.count("high"), "weigh high"),
        (account.count("medium"), "weigh middle"),
        (account.count("low"), "weigh low"),
        (account.count("info"), "for information"),
        (f"{steps} of {len(STEPS)}", "steps done"),
        (len(account.unread), "not looked at"),
    ]
    made = "".join(f'<div class="card"><b>{value}</b><span>{name}</span></div>' for value, name in cards)
    return f'<div class="cards">{made}</div>'


def _reason(met: Met) -> str:
    count = len(met.findings)
    return (
        f"<b>{met.criterion.criterion_id}</b> {_text(met.criterion.sentence)} "
        f'<span class="soft">{count} finding{"" if count == 1 else "s"}: {_text(met.findings[0].what)}</span>'
    )


def _findings(account: Account) -> str:
    grave = [finding for finding in account.findings if finding.severity != "info"]
    inventory = [finding for finding in account.findings if finding.severity == "info"]
    made = ["<h2>Findings</h2>", *(_finding(finding) for finding in grave)]
    if not grave:
        made.append("<p>None that weighs anything.</p>")
    if inventory:
        made.append(
            f"<details><summary>For information ({len(inventory)})</summary>{''.join(map(_finding, inventory))}</details>"
        )
    return "\n".join(made)


def _finding(finding: Finding) -> str:
    shown = finding.evidence[:SHOWN_MAX]
    more = len(finding.evidence) - len(shown)
    return (
        f'<div class="finding {finding.severity}"><h3>{_text(finding.title)}</h3>'
        f'<p><span class="tag">{finding.severity}</span> <span class="soft">{finding.certainty} · {finding.step} · '
        f"<code>{_text(finding.rule)}</code></span></p><p>{_text(finding.what)}</p>"
        f"<details><summary>Evidence ({len(finding.evidence)}) and how to see it again</summary>"
        + "".join(map(_evidence, shown))
        + (f'<p class="soft">{more} more in {finding.step}.json.</p>' if more else "")
        + f"<p>To see it again:</p><pre>{_text(finding.repeat)}</pre></details></div>"
    )


def _evidence(one: Evidence) -> str:
    place = _text(one.where) + (f", line {one.line}" if one.line else f", byte {one.offset}" if one.offset >= 0 else "")
    facts = "".join(f"<br>{_text(name)}: <code>{_text(fact)}</code>" for name, fact in one.facts)
    return f'<p class="soft"><code>{place}</code>{facts}</p>' + (
        f"<pre>{_text(one.excerpt)}</pre>" if one.excerpt else ""
    )


def _unread(account: Account) -> str:
    rows = [f"<code>{_text(one.where)}</code> {_text(one.why)}" for one in account.unread]
    return _list("Not looked at (never counts as clean)", rows)


def _criteria(account: Account) -> str:
    met = {one.criterion.criterion_id for one in account.proposal.met}
    rows = (
        f"<tr><td>{one.criterion_id}</td><td>{_text(one.sentence)}</td><td>{one.leads_to}</td>"
        f"<td>{'met' if one.criterion_id in met else 'not met'}</td></tr>"
        for one in CRITERIA
    )
    return (
        "<h2>The criteria</h2><p class=soft>The strictest that is met gives the recommendation; "
        "where a step is missing, allowed is never recommended.</p>"
        f"<table><tr><th></th><th>Criterion</th><th>Leads to</th><th></th></tr>{''.join(rows)}</table>"
    )


def _steps(account: Account) -> str:
    rows = (
        f"<tr><td>{step}</td><td>{_STEP_NAMES[step]}</td><td>"
        + (
            f"<code>{step}.json</code><br><code>sha256:{account.digests[step]}</code>"
            if step in account.digests
            else "not done"
        )
        + "</td></tr>"
        for step in STEPS
    )
    return f"<h2>Steps and their evidence</h2><table><tr><th>Step</th><th>Looks at</th><th>Evidence</th></tr>{''.join(rows)}</table>"


def _list(title: str, rows: Sequence[str]) -> str:
    return f"<h2>{title}</h2><ul>{_items(rows)}</ul>" if rows else ""


def _items(rows: Iterable[str]) -> str:
    return "".join(f"<li>{row}</li>" for row in rows)


def _text(value: str) -> str:
    return escape(value)
