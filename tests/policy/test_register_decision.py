"""What the register says of a tool on a day: the most specific entry, the strictest of equals, closed where it can't be told."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mohist.policy.errors import RegisterError
from mohist.policy.register import (
    Allowed,
    Refused,
    Register,
    Settings,
    Span,
    Tool,
    Use,
    Warned,
    as_text,
    decide,
    entry_of,
    known_tools,
    parse_register,
    strictest,
    tool_named,
    tool_of_client,
)

DAY = date(2026, 11, 23)
BAN = {"disposition": "banned", "reason": "Because", "alternative": "other", "first_step": "begin"}
ALLOW = {"disposition": "allowed"}


def register(*tables: dict, **settings: object) -> Register:
    entries = [
        entry_of({"id": f"entry-{number}", "tool": "claude-code", **table}) for number, table in enumerate(tables)
    ]
    return Register(tuple(entries), Settings(**settings))


def word(
    rules: Register, tool: Tool | str = "claude-code", version: str = "2.1.100", day: date = DAY, **use: object
) -> str:
    found = decide(rules, tool if isinstance(tool, Tool) else tool_named(tool, version), day, Use(**use))
    return type(found).__name__.lower()


# Which entry decides


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([BAN], "refused"),
        ([{**BAN, "tool": "*"}, ALLOW], "allowed"),
        ([{**BAN, "tool": "claude*"}, {**ALLOW, "tool": "*"}], "refused"),
        ([{**BAN, "versions": "<3"}, ALLOW], "refused"),
        ([{**BAN, "versions": "<3"}, {**ALLOW, "versions": "2.1.100"}], "allowed"),
        ([{**BAN, "versions": "<3"}, {**ALLOW, "versions": "2.1.x"}], "refused"),
        ([{**BAN, "tool": "codex"}], "allowed"),
        ([{**BAN, "tool": "npm:@anthropic-ai/claude-code"}], "refused"),
        ([BAN, ALLOW], "refused"),
        ([ALLOW, BAN], "refused"),
    ],
)
def test_the_most_specific_entry_decides_and_of_equals_the_strictest(entries: list[dict], expected: str) -> None:
    assert word(register(*entries)) == expected


def test_the_order_of_entries_says_nothing() -> None:
    tables = [BAN, ALLOW, {**BAN, "tool": "*"}, {**ALLOW, "versions": "2.1.100"}]
    assert {word(register(*tables[at:], *tables[:at])) for at in range(len(tables))} == {"allowed"}


def test_a_tool_in_no_entry_is_as_the_setting_says_and_told_what_there_is() -> None:
    assert word(register(), "new-tool") == "allowed"
    found = decide(register({**ALLOW, "tool": "codex"}, {**BAN}, unlisted="deny"), tool_named("new-tool", "1"), DAY)
    assert isinstance(found, Refused)
    assert (found.alternative, found.entry_id) == ("codex", "")
    assert "mohist vet" in found.first_step


# Days


def test_before_its_day_a_ban_warns_with_alternative_and_first_step_and_from_the_day_on_refuses() -> None:
    rules = register({**BAN, "effective": "2026-12-01"})
    before = decide(rules, tool_named("claude-code", "1.0.0"), date(2026, 11, 30))
    assert isinstance(before, Warned)
    assert before.text == (
        "claude-code 1.0.0 is banned: Because. From 2026-12-01 on it is refused. Use instead: other. First step: begin."
    )
    assert word(rules, day=date(2026, 12, 1)) == "refused"


def test_an_approval_that_ran_out_refuses_after_a_month_of_warning_and_a_ban_that_ran_out_is_over() -> None:
    approved, banned = register({**ALLOW, "expires": "2027-03-01"}), register({**BAN, "expires": "2027-03-01"})
    days = [date(2027, 1, 29), date(2027, 1, 30), date(2027, 2, 28), date(2027, 3, 1)]
    assert [word(approved, day=day) for day in days] == ["allowed", "warned", "warned", "refused"]
    assert [word(banned, day=day) for day in days] == ["refused", "refused", "refused", "allowed"]


def test_an_approval_that_is_yet_to_come_is_none() -> None:
    assert word(register({**ALLOW, "effective": "2026-12-01"}, unlisted="deny")) == "refused"


def test_of_two_warnings_the_earlier_day_is_told() -> None:
    rules = register({**BAN, "effective": "2027-01-01"}, {**BAN, "effective": "2026-12-01"})
    found = decide(rules, tool_named("claude-code"), DAY)
    assert isinstance(found, Warned)
    assert found.refused_from == date(2026, 12, 1)


# Conditions

RESTRICT = {
    "disposition": "restricted",
    "reason": "So",
    "first_step": "begin",
    "conditions": {"governed": True, "models": ["own-*"], "not_repositories": ["git.example.com/pay/*"]},
}
HERE = ("git.example.com/shop/web",)


@pytest.mark.parametrize(
    ("use", "expected"),
    [
        ({}, "allowed"),
        ({"governed": True, "model": "own-1", "repositories": HERE}, "allowed"),
        ({"governed": False, "model": "own-1", "repositories": HERE}, "refused"),
        ({"governed": True, "model": "vendor-1", "repositories": HERE}, "refused"),
        ({"governed": True, "model": "own-1", "repositories": ("GIT.example.com/Pay/core",)}, "refused"),
        ({"governed": True, "model": "own-1", "repositories": (*HERE, "git.example.com/pay/core")}, "refused"),
        ({"governed": True, "model": "own-1", "repositories": ()}, "refused"),
        ({"governed": True, "model": None, "repositories": HERE}, "allowed"),
    ],
)
def test_a_restricted_tool_passes_where_its_conditions_hold_and_nowhere_that_cant_be_told(
    use: dict, expected: str
) -> None:
    assert word(register(RESTRICT), **use) == expected


def test_what_is_not_asked_yet_is_told_as_conditions() -> None:
    found = decide(register(RESTRICT), tool_named("claude-code"), DAY)
    assert isinstance(found, Allowed)
    assert found.conditions == (
        "only under mohist govern",
        "only with the models own-*",
        "not on the repositories git.example.com/pay/*",
    )


# Versions


@pytest.mark.parametrize(
    ("text", "version", "banned", "approved"),
    [
        ("<2.1.91", "2.1.90", True, True),
        ("<2.1.91", "2.1.91", False, False),
        ("<2.1.91", "2.1.91-beta.1", True, False),
        ("<2.1.91", "2.1.90-beta.1", True, False),
        ("<2.1.91", "2.1.92-beta.1", False, False),
        ("2.1.90", "2.1.90-rc.1", True, False),
        ("^1.2.3", "1.2.3-beta.2", True, False),
        (">=1.0.0 <2.0.0 || 3.x", "3.1.4", True, True),
        ("1 - 2", "2.9.9", True, True),
        ("<2.1.91", "", True, False),
        ("<2.1.91", "nightly", True, False),
        ("<2.1.91", "2.1", True, True),
        ("<2.1.91", "2.1.90.4", True, True),
        ("<2.1.91", "2.1.90+build.7", True, True),
        ("*", "", True, True),
    ],
)
def test_bans_are_read_wide_and_approvals_narrow_for_npm(text: str, version: str, banned: bool, approved: bool) -> None:
    span = Span(text, "semver")
    assert (span.covers(version, wide=True), span.covers(version, wide=False)) == (banned, approved)


@pytest.mark.parametrize(
    ("text", "version", "banned", "approved"),
    [
        ("<0.86", "0.85.1", True, True),
        ("<0.86", "0.86", False, False),
        ("<0.86", "0.86rc1", True, False),
        ("<0.86", "0.85.dev4", True, False),
        ("==0.86.2", "0.86.2rc1", True, False),
        ("==0.86.2", "0.86.2+local", True, True),
        (">0.86", "0.86.post1", True, False),
        (">=0.80,<0.86", "0.79", False, False),
        ("~=1.4", "1.9", True, True),
        ("<0.86", "", True, False),
        ("<0.86", "latest", True, False),
    ],
)
def test_bans_are_read_wide_and_approvals_narrow_for_pypi(
    text: str, version: str, banned: bool, approved: bool
) -> None:
    span = Span(text, "pep440")
    assert (span.covers(version, wide=True), span.covers(version, wide=False)) == (banned, approved)


@pytest.mark.parametrize(
    "text", ["latest", "!=1.2.3", "<", "1.2.3 -", "^1.2 &&", "<2.1.91;", "a.b.c", "||", "1.2.3.4", ">1.2.3, <2"]
)
def test_a_range_that_npm_would_not_read_is_refused_and_not_taken_for_an_empty_one(text: str) -> None:
    with pytest.raises(RegisterError):
        Span(text, "semver")


RANGES = ["<2.1.91", "^1.2.3", "~1.2.3", "^0.2.3", "^0.0.3", "1.x", "1.2.x", "1", "1.2", "=1.2.3", ">=1.2.3 <2", "1.2.3 - 2.3.4",
          "1.2 - 2.3", "<1.0.0 || >=2.3.1 <2.4.5", "^1.2.3-beta.2", "~1.2.3-beta.2", ">1.2", "<=1.2", "v1.2.3", ">= 1.2.3", ">1.2.3-0"]  # fmt: skip
VERSIONS = ["0.0.3", "0.0.4", "0.2.3", "0.2.9", "0.3.0", "1.0.0", "1.2.3", "1.2.3-beta.2", "1.2.3-beta.10", "1.2.3-alpha", "1.2.4-rc.1",
            "1.9.9", "2.0.0-0", "2.0.0", "2.1.90", "2.1.91", "2.1.91-beta.1", "2.3.4", "2.4.0", "3.0.0", "1.2.3+build.5"]  # fmt: skip


def npms_own() -> Path | None:
    """npm's own reader of ranges, where npm is installed."""
    npm = shutil.which("npm")
    folders = [Path(npm).resolve().parents[1], Path("/usr/share/nodejs")] if npm else []
    return next(
        (one for folder in folders for one in (folder / "node_modules/semver", folder / "semver") if one.is_dir()), None
    )


@pytest.mark.skipif(npms_own() is None, reason="npm is missing")
def test_narrow_is_npms_own_reading_and_wide_holds_all_that_npm_holds_with_pre_releases() -> None:
    code = """
    const s = require(process.argv[1]), [R, V] = JSON.parse(process.argv[2]);
    const all = (o) => R.map(r => V.map(v => s.satisfies(v, r, o)));
    console.log(JSON.stringify([all({}), all({includePrerelease: true})]));
    """
    node = [shutil.which("node") or "node", "-e", code, str(npms_own()), json.dumps([RANGES, VERSIONS])]
    done = subprocess.run(node, capture_output=True, check=True, timeout=60, env={"PATH": os.environ["PATH"]})
    plain, loose = json.loads(done.stdout)
    for text, own, wide in zip(RANGES, plain, loose, strict=True):
        span = Span(text, "semver")
        assert [span.covers(version, wide=False) for version in VERSIONS] == own, text
        missing = [
            version
            for version, held in zip(VERSIONS, wide, strict=True)
            if held and not span.covers(version, wide=True)
        ]
        assert missing == [], text


@given(st.text(max_size=40), st.sampled_from(["semver", "pep440"]))
def test_no_version_however_odd_raises_and_what_narrow_holds_wide_holds(version: str, scheme: str) -> None:
    span = Span("<2.1.91", scheme)
    narrow, wide = span.covers(version, wide=False), span.covers(version, wide=True)
    assert wide or not narrow


numbers = st.integers(0, 4)


@given(numbers, numbers, numbers, st.sampled_from(["", "-beta.1", "-0"]))
def test_every_version_before_a_bans_end_is_banned(major: int, minor: int, patch: int, mark: str) -> None:
    before = (major, minor, patch) < (2, 1, 3) or ((major, minor, patch) == (2, 1, 3) and mark != "")
    assert Span("<2.1.3", "semver").covers(f"{major}.{minor}.{patch}{mark}", wide=True) is before


@pytest.mark.parametrize("version", ["2.1.90-beta.1", "2.1.91-rc.1", "", "nightly"])
def test_a_pre_release_and_a_version_that_cant_be_told_are_banned_with_a_range_and_not_approved_with_it(
    version: str,
) -> None:
    assert word(register({**BAN, "versions": "<2.1.91"}), version=version) == "refused"
    assert word(register({**ALLOW, "versions": "<2.1.91"}, unlisted="deny"), version=version) == "refused"
    assert word(register({**ALLOW, "versions": "<2.1.91"}, unlisted="deny"), version="2.1.90") == "allowed"


# Names


def test_an_entry_for_a_tool_speaks_of_all_its_forms_and_of_its_extension_only_where_it_names_no_versions() -> None:
    everything, old = register(BAN), register({**BAN, "versions": "<3"})
    forms = ["npm:@anthropic-ai/claude-code", "program:claude", "claude-code"]
    assert [word(everything, name, "1.0.0") for name in forms] == ["refused"] * 3
    assert [word(old, name, "1.0.0") for name in forms] == ["refused"] * 3
    extension = "vscode:anthropic.claude-code"
    assert (word(everything, extension, "1.0.0"), word(old, extension, "1.0.0")) == ("refused", "allowed")


@pytest.mark.parametrize(
    ("headers", "name", "version"),
    [
        ({b"user-agent": b"claude-cli/2.1.330 (external, sdk-cli)"}, "claude-code", "2.1.330"),
        ({b"user-agent": b"QwenCode/0.24.4 (linux; x64)"}, "qwen-code", "0.24.4"),
        ({b"user-agent": b"codex_exec/0.169.0 (Debian 12) dumb"}, "codex", "0.169.0"),
        ({b"user-agent": b"sh/1", b"originator": b"codex_vscode"}, "codex", "1"),
        ({b"user-agent": b"opencode/1.18.33 ai-sdk/5"}, "opencode", "1.18.33"),
        ({b"user-agent": b"OpenAI/Python 2.1.0"}, "agent:openai/python", ""),
        ({b"user-agent": b"new-tool/7"}, "agent:new-tool", "7"),
        ({b"user-agent": "cläude/1".encode("latin-1")}, "agent:unknown", ""),
        ({}, "agent:unknown", ""),
    ],
)
def test_a_client_is_what_its_headers_say(headers: dict, name: str, version: str) -> None:
    tool = tool_of_client(headers)
    assert name in tool.names
    assert tool.version == version


@given(st.dictionaries(st.sampled_from([b"user-agent", b"originator"]), st.binary(max_size=300)))
def test_no_header_is_too_odd_to_be_judged(headers: dict) -> None:
    decide(register(BAN, {**BAN, "versions": "<2"}), tool_of_client(headers), DAY)


def test_a_name_that_somebody_chose_is_held_against_a_tool_and_never_for_it() -> None:
    server = Tool(("npm:@evil/server",), claims=("mcp:github",))
    assert word(register({**ALLOW, "tool": "mcp:github"}, unlisted="deny"), server) == "refused"
    assert word(register({**BAN, "tool": "mcp:github"}), server) == "refused"


def test_no_two_tools_share_a_name() -> None:
    names = [name for tool in known_tools().values() for name in (*tool.packages, *tool.extensions, *tool.agents)]
    assert sorted(names) == sorted(set(names))
    programs = [name for tool in known_tools().values() for name in tool.programs]
    assert sorted(programs) == sorted(set(programs))
    assert all(name == name.lower() for name in names)


# Registers together


def test_a_second_register_only_tightens() -> None:
    strict, loose = register(BAN), register(ALLOW)
    tool = tool_named("claude-code", "1.0.0")
    for pair in ((strict, loose), (loose, strict)):
        assert isinstance(strictest(decide(one, tool, DAY) for one in pair), Refused)


dispositions = st.sampled_from([BAN, ALLOW, RESTRICT])
tables = st.builds(
    lambda kind, tool, versions, days: {
        **kind,
        "tool": tool,
        "versions": versions,
        **({} if days is None else {"effective": (DAY + timedelta(days=days)).isoformat()}),
    },
    dispositions,
    st.sampled_from(["claude-code", "codex", "*", "npm:*", "claude*"]),
    st.sampled_from(["*", "<2.1.91", "2.1.100", "^2"]),
    st.one_of(st.none(), st.integers(-40, 40)),
)


@given(st.lists(tables, max_size=6), st.lists(tables, max_size=3), st.sampled_from(["allow", "deny"]))
def test_whatever_a_project_adds_nothing_becomes_looser(own: list[dict], project: list[dict], unlisted: str) -> None:
    order = {"allowed": 0, "warned": 1, "refused": 2}
    base, added = register(*own, unlisted=unlisted), register(*project)
    tool = tool_named("claude-code", "2.1.90")
    both = strictest([decide(base, tool, DAY), decide(added, tool, DAY)])
    assert order[type(both).__name__.lower()] >= order[word(base, tool)]


@given(st.lists(tables, max_size=6))
def test_a_register_reads_back_as_it_was_written(own: list[dict]) -> None:
    rules = register(*own)
    again = parse_register(as_text(rules), "")
    assert (again.entries, again.settings) == (rules.entries, rules.settings)
