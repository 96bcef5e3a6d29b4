"""What docs/gateway-policy.md shows works as it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mohist.policy import load_rulebook
from mohist.policy.fact import ATTRIBUTES

GUIDE = (Path(__file__).parents[2] / "docs" / "gateway-policy.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```toml\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)
HEAD = BLOCKS[0].partition("[[rule]]")[0]


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: re.search(r'id = "(.*?)"', block)[1])
def test_every_worked_example_proves_itself(block):
    text = block if "default =" in block else HEAD + block
    assert load_rulebook(text, "guide").rules


def test_the_bans_of_the_guide_stand_side_by_side_in_one_file():
    bans = [block for block in BLOCKS if 'default = "deny"' not in block]
    assert len(load_rulebook("".join(bans), "guide").rules) == len(bans) == 4


def test_the_guide_names_everything_a_rule_can_name():
    for owner, name in ATTRIBUTES:
        assert not name or re.search(rf"`(?:{owner}(?:\.client)?)?\.{name}\b", GUIDE), name
