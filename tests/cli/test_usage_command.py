"""`mohist usage`, as a person at a terminal uses it."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pyarrow.parquet as parquet
import pytest

from mohist.base import ExitCode
from mohist.cli.main import main
from mohist.gateway.address import home_address
from mohist.gateway.call import CallRecord, Principal
from mohist.gateway.store import Store
from mohist.gateway.usage import UsageRow, flat
from mohist.provider.message import Usage

DAY_MS = 86_400_000
START_MS = 1_790_000_000_000  # 2026-09-21 14:13:20 UTC


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MOHIST_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


class Shell:
    """Runs `mohist usage` and reads what it prints."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.said = ""
        """What the last run told on the side."""

    def __call__(self, *argv: str) -> str:
        assert main(["usage", *argv]) == ExitCode.DONE, self._capsys.readouterr().err
        out, self.said = self._capsys.readouterr()
        return out

    def fails(self, *argv: str) -> str:
        try:
            code: object = main(["usage", *argv])
        except SystemExit as stop:
            code = stop.code
        assert code in {ExitCode.FAILED, ExitCode.USAGE}
        return self._capsys.readouterr().err


@pytest.fixture
def usage(capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capsys)


def fill(home: Path, *records: CallRecord) -> None:
    with Store(home_address(home, {})) as store:
        store.add_usage(
            [flat(UsageRow(made, Principal("key-1", "ann", "shop"), made.started_at_ms // DAY_MS)) for made in records]
        )


def record(
    call_id: str, client: str = "codex/1", cost: int | None = 1_500, day: int = 0, status: int = 200
) -> CallRecord:
    return CallRecord(
        call_id=call_id,
        started_at_ms=START_MS + day * DAY_MS,
        dialect="openai-chat",
        client=client,
        session_id="s",
        model_asked="m",
        model_served="m-1",
        upstream="first",
        status=status,
        verdict="allowed",
        usage=Usage(1_000, 200, 0, 50),
        cost_microusd=cost,
        price_row="",
        duration_ms=1,
        first_byte_ms=None,
        attempts=1,
    )


def test_usage_is_summed_by_what_is_asked_and_says_what_it_could_not_price(usage: Shell, home: Path) -> None:
    fill(home, record("1"), record("2", "aider", cost=None), record("3", day=2))
    assert json.loads(usage("--json", "--by", "client")) == [
        {"client": "codex/1", "calls": 2, "refused": 0, "failed": 0, "input_tokens": 2_000, "cache_read_tokens": 400,
         "cache_write_tokens": 0, "cache_write_1h_tokens": 0, "output_tokens": 100, "web_searches": 0,
         "cost_microusd": 3_000, "list_cost_microusd": 3_000, "unpriced": 0, "cache_share": 0.1667},
        {"client": "aider", "calls": 1, "refused": 0, "failed": 0, "input_tokens": 1_000, "cache_read_tokens": 200,
         "cache_write_tokens": 0, "cache_write_1h_tokens": 0, "output_tokens": 50, "web_searches": 0,
         "cost_microusd": 0, "list_cost_microusd": 0, "unpriced": 1, "cache_share": 0.1667},
    ]  # fmt: skip
    shown = usage().split("\n")[1].split()
    assert shown == ["m-1", "3", "0", "3.6k", "600", "150", "$0.0030", "+", "1", "unpriced"]


def test_usage_is_summed_by_two_things(usage: Shell, home: Path) -> None:
    fill(home, record("1"), record("2", "aider"), record("3", day=2))
    rows = json.loads(usage("--json", "--by", "day", "--by", "client"))
    assert [(row["day"], row["client"], row["calls"]) for row in rows] == [
        ("2026-09-21", "aider", 1),
        ("2026-09-21", "codex/1", 1),
        ("2026-09-23", "codex/1", 1),
    ]
    assert usage("--by", "day", "--by", "client").split("\n")[1].split()[:3] == ["2026-09-21", "aider", "1"]


def test_a_time_span_holds_both_its_days(usage: Shell, home: Path) -> None:
    fill(home, record("1"), record("2", day=1), record("3", day=2))

    def count(*argv: str) -> int:
        return sum(row["calls"] for row in json.loads(usage("--json", *argv)))

    assert count("--since", "2026-09-22") == 2
    assert count("--until", "2026-09-22") == 2
    assert count("--since", "2026-09-22", "--until", "2026-09-22") == 1


def test_a_client_that_names_itself_a_formula_or_an_escape_is_defused(usage: Shell, home: Path) -> None:
    fill(home, record("1", "=HYPERLINK(1)"), record("2", "x\x1b[2Jy"))
    rows = list(csv.DictReader(io.StringIO(usage("--by", "client", "--csv"))))
    assert {row["client"] for row in rows} == {"'=HYPERLINK(1)", "x\x1b[2Jy"}
    assert "\x1b" not in usage("--by", "client")
    assert "\x1b" not in usage("--calls")


def test_without_calls_usage_says_so(usage: Shell) -> None:
    assert usage() == "no calls yet\n"
    assert usage("--calls") == "no calls yet\n"
    assert usage("--json") == "[]\n"
    assert usage("--calls", "--json") == "[]\n"
    assert usage("--csv").startswith("model,calls,")
    assert usage("--format", "focus").startswith("BilledCost,")


def test_single_calls_are_listed_newest_first_and_page_by_page(usage: Shell, home: Path) -> None:
    fill(home, *(record(str(number), day=number) for number in range(5)))
    first = usage("--calls", "--limit", "2")
    assert [line[:10] for line in first.split("\n")[1:3]] == ["2026-09-25", "2026-09-24"]
    more, place = usage.said.split()[1:]
    second = usage("--calls", "--limit", "2", more, place)
    assert [line[:10] for line in second.split("\n")[1:3]] == ["2026-09-23", "2026-09-22"]
    last = usage("--calls", "--limit", "2", "--after", usage.said.split()[2])
    assert len(last.splitlines()) == 2
    assert usage.said == ""


def test_single_calls_are_found_by_what_they_are(usage: Shell, home: Path) -> None:
    fill(home, record("1"), record("2", "aider/2"), record("3", status=502), record("4", cost=None))

    def found(*argv: str) -> str:
        return "".join(row["call_id"] for row in json.loads(usage("--calls", "--json", *argv)))

    assert found("--client", "aider/*") == "2"
    assert found("--client", "aider/*", "--client", "codex/1") == "1234"
    assert found("--user", "ann", "--status", "5xx") == "3"
    assert found("--user", "bob") == ""
    assert found("--limit", "2") == "12"
    assert "unpriced" in usage("--calls", "--status", "200").split("\n")[1]


def test_an_export_takes_its_file_s_place_when_it_is_whole(usage: Shell, home: Path, tmp_path: Path) -> None:
    fill(home, record("1"), record("2"))
    file = tmp_path / "out" / "calls.csv"
    file.parent.mkdir()
    file.write_text("before", encoding="utf-8")
    assert usage("--calls", "--csv", "--output", str(file)) == ""
    assert len(list(csv.DictReader(io.StringIO(file.read_text(encoding="utf-8"))))) == 2
    assert file.stat().st_mode & 0o777 == 0o600
    assert "no HTTP status" in usage.fails("--calls", "--csv", "--status", "nope", "--output", str(file))
    assert file.read_text(encoding="utf-8").count("\n") == 3, "an export that fails leaves what was there"
    assert list(file.parent.iterdir()) == [file]


def test_calls_are_exported_as_parquet(usage: Shell, home: Path, tmp_path: Path) -> None:
    fill(home, record("1"), record("2", cost=None))
    file = tmp_path / "calls.parquet"
    usage("--format", "parquet", "--output", str(file))
    assert parquet.read_table(file).column("cost_microusd").to_pylist() == [1_500, None]


def test_focus_has_the_costs_that_are_known_and_says_which_are_not(usage: Shell, home: Path) -> None:
    fill(home, record("1"), record("2", cost=None), record("3", day=1))
    rows = list(csv.DictReader(io.StringIO(usage("--format", "focus"))))
    assert [(row["BilledCost"], row["x_UnpricedCalls"]) for row in rows] == [("0.0015", "1"), ("0.0015", "0")]
    assert usage.said == "the costs lack those of 1 call(s): not known, or only in part\n"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--since", "yesterday"], "not a day"),
        (["--by", "weather"], "invalid choice"),
        (["--by", "user", "--by", "model", "--by", "day"], "two things at most"),
        (["--by", "user", "--calls"], "--by sums"),
        (["--by", "user", "--format", "focus"], "--by sums"),
        (["--calls", "--limit", "0"], "above 0"),
        (["--calls", "--after", "nonsense"], "no place in a listing"),
        (["--calls", "--csv", "--output", "/nowhere/at/all.csv"], "can't be written"),
        (["--json", "--csv"], "not allowed with"),
    ],
)
def test_a_wrong_word_is_told(usage: Shell, argv: list[str], said: str) -> None:
    assert said in usage.fails(*argv)
