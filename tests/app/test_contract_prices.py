"""Agreed prices from `prices.toml`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mohist.app.errors import ConfigError
from mohist.app.price import check_providers, contracts
from mohist.provider.message import Usage
from mohist.provider.price import Terms

MARCH_MS = 1_772_582_400_000 + 12 * 3_600_000  # 2026-03-04 12:00
ENTRY = """
[[prices]]
contract = "ACME"
provider = "anthropic"
model = "claude-*"
from = 2026-01-01
until = 2026-12-31
tiers = [{ input = 4.0, cache_read = "0.4", cache_write = 5, output = 20 }, { above = 200_000, input = 8, output = 30 }]
peak = { windows_utc = [["22:00", "02:00"]], tiers = [{ input = 6, output = 30 }] }
regions = { us = 1.1 }
services = { flex = 0.5 }
web_search = 0.01
"""


def write(home: Path, text: str) -> Path:
    path = home / "prices.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_row_is_read_with_all_that_it_says(tmp_path: Path) -> None:
    write(tmp_path, ENTRY)
    (contract,) = contracts(tmp_path, tmp_path / "none")
    assert contract.covers("anthropic", "claude-x", "")
    assert (contract.from_day, contract.until_day) == ("2026-01-01", "2026-12-31")
    usage = Usage(1000, 1000, 1000, 100, 500)
    bill = contract.row.bill(usage, at_ms=MARCH_MS, terms=Terms("flex", "us", 2))
    plain = 4000 + 400 + 5000 + 2000
    assert bill.cost_microusd == plain * 11 // 20 + 20_000
    assert bill.row == "contract ACME 2026-01-01"
    assert contract.row.bill(Usage(300_000), at_ms=MARCH_MS).cost_microusd == 2_400_000
    night_ms = MARCH_MS + 11 * 3_600_000
    assert contract.row.bill(Usage(1000), at_ms=night_ms).cost_microusd == 6000


def test_another_currency_is_taken_at_the_rate_that_was_agreed(tmp_path: Path) -> None:
    write(tmp_path, ENTRY.replace("from =", 'currency = "EUR"\nusd_rate = "1.25"\nfrom ='))
    (contract,) = contracts(tmp_path, tmp_path / "none")
    assert contract.row.bill(Usage(1000), at_ms=MARCH_MS).cost_microusd == 5000


def test_the_machine_s_file_holds_instead_of_the_user_s(tmp_path: Path) -> None:
    write(tmp_path, ENTRY)
    managed = tmp_path / "etc.toml"
    managed.write_text(ENTRY.replace("ACME", "Group"), encoding="utf-8")
    assert [contract.row.source for contract in contracts(tmp_path, managed)] == ["contract Group"]


def test_without_a_file_nothing_is_agreed(tmp_path: Path) -> None:
    assert contracts(tmp_path, tmp_path / "none") == ()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("until = 2026-12-31", "until = 2025-12-31", "before `from`"),
        ("from =", 'currency = "EUR"\nfrom =', "usd_rate"),
        ("from =", "usd_rate = 2\nfrom =", "usd_rate"),
        ("input = 4.0", "above = 3, input = 4.0", "above = 0"),
        ("input = 4.0", "inptu = 4.0", "inptu"),
        ("input = 4.0", "input = -1", "greater than or equal"),
        ("input = 4.0", "input = nan", "finite"),
        ("22:00", "25:00", "windows_utc"),
        ("[[prices]]", "[[prices", "can't be read"),
    ],
)
def test_a_file_that_says_what_it_may_not_is_refused_by_name(tmp_path: Path, old: str, new: str, said: str) -> None:
    write(tmp_path, ENTRY.replace(old, new, 1))
    with pytest.raises(ConfigError, match=said):
        contracts(tmp_path, tmp_path / "none")


def test_two_rows_that_begin_on_one_day_are_refused(tmp_path: Path) -> None:
    write(tmp_path, ENTRY + ENTRY)
    with pytest.raises(ConfigError, match="two rows"):
        contracts(tmp_path, tmp_path / "none")


def test_a_contract_with_nobody_that_is_called_is_refused(tmp_path: Path) -> None:
    write(tmp_path, ENTRY)
    made = contracts(tmp_path, tmp_path / "none")
    check_providers(made, ["anthropic"])
    with pytest.raises(ConfigError, match="no provider or upstream"):
        check_providers(made, ["openai", "our-own"])


def test_the_example_of_the_guide_is_one(tmp_path: Path) -> None:
    guide = (Path(__file__).parent.parent.parent / "docs" / "gateway.md").read_text(encoding="utf-8")
    example = next(block for block in re.findall(r"```toml\n(.*?)```", guide, re.DOTALL) if "[[prices]]" in block)
    for text in (
        example,
        re.sub(
            r"^# (?=region|currency|peak)",
            "",
            example.replace("# currency", 'usd_rate = "1.08"\n# currency'),
            flags=re.MULTILINE,
        ),
    ):
        write(tmp_path, text)
        (contract,) = contracts(tmp_path, tmp_path / "none")
        assert contract.row.label == "contract ACME 2026 2026-01-01"
