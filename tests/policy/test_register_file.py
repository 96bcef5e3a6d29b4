"""Register files: read whole or not at all, with the entry and the nearest right word in the error."""

from __future__ import annotations

import pytest

from mohist.policy.errors import RegisterError
from mohist.policy.register import as_text, parse_register

GOOD = """
[register]
unlisted = "deny"
ask = "write to tools@example.com"

[[entry]]
id = "marks"
tool = "claude-code"
versions = ">=2.1.91 <2.1.197"
disposition = "banned"
reason = "It \\"marks\\" prompts — 撇号"
evidence = [{ place = "vet/report.json", digest = "sha256:%s" }, { place = "https://example.com/why" }]
effective = 2026-12-01
expires = 2027-06-01
owner = "platform"
alternative = "qwen-code"
first_step = "mohist govern -- qwen"

[[entry]]
id = "vetted"
tool = "qwen-code"
disposition = "restricted"
reason = "Vetted"
first_step = "begin"
conditions = { governed = true, models = ["own-*"] }
""" % ("ab" * 32)


def test_a_file_reads_back_as_it_was_written() -> None:
    register = parse_register(GOOD, "register.toml")
    again = parse_register(as_text(register), "register.toml")
    assert again == register
    assert again.entries[0].reason == 'It "marks" prompts — 撇号'
    assert again.settings.unlisted == "deny"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('disposition = "banned"', 'disposition = "baned"'), "Choose one of: allowed, restricted, banned"),
        (('alternative = "qwen-code"', ""), "has no `alternative`"),
        (('first_step = "mohist govern -- qwen"', ""), "has no `first_step`"),
        (('owner = "platform"', 'ower = "platform"'), "Did you mean 'owner'"),
        (("governed = true", "govern = true"), "Did you mean 'governed'"),
        (('unlisted = "deny"', 'unlisted = "refuse"'), "unlisted = 'refuse'"),
        (('unlisted = "deny"', "two_person = true"), "Did you mean 'two_persons'"),
        ((">=2.1.91 <2.1.197", ">=2.1.91, <2.1.197"), "has a range that can't be read"),
        (("effective = 2026-12-01", "effective = 2028-12-01"), "expires before it takes effect"),
        (("effective = 2026-12-01", 'effective = "soon"'), "is no day"),
        (("effective = 2026-12-01", "effective = 2026-12-01T10:00:00"), "is no day"),
        (('id = "vetted"', 'id = "marks"'), "two entries have the id 'marks'"),
        (('id = "vetted"', 'id = "Vetted!"'), "is no id"),
        (('conditions = { governed = true, models = ["own-*"] }', ""), "restricted without a condition"),
        (("sha256:ab", "sha256:xy"), "`digest` that is none"),
        (('reason = "Vetted"', 'reason = "Vet\\nted"'), "no text of one line"),
        (('tool = "qwen-code"', 'tool = "qwen code"'), "`tool` that is no name"),
        (("[[entry]]", "[[entries]]"), "unknown key 'entries'"),
        (('id = "marks"', "id = marks"), "not valid TOML"),
    ],
)
def test_a_file_that_says_what_it_may_not_is_refused_as_a_whole(change: tuple[str, str], said: str) -> None:
    before, after = change
    assert before in GOOD
    with pytest.raises(RegisterError) as caught:
        parse_register(GOOD.replace(before, after), "register.toml")
    assert said in str(caught.value)
    assert "register.toml" in str(caught.value) or "is no id" in said
