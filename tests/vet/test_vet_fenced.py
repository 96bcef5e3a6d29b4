"""Made-up clients as real processes in the fence: watched, varied, and let loose on hostile repositories."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from vetting_room import PYTHON, recipe, say_nothing

from mohist.sandbox import Bubblewrap
from mohist.vet import Dossier, Record
from mohist.vet.behaviour.behave import behave
from mohist.vet.behaviour.differ import differ
from mohist.vet.behaviour.repository import repository
from mohist.vet.difference.experiment import Plan

pytestmark = [
    pytest.mark.enable_socket,
    pytest.mark.skipif(not Path(PYTHON).exists(), reason="made-up clients are run by the system's Python"),
]


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Bubblewrap]:
    made = Bubblewrap(state=tmp_path / "state")
    yield made
    made.close()


async def watched(sandbox: Bubblewrap, folder: Path, habit: str) -> Record:
    return await behave(
        sandbox,
        folder / "runs",
        [("as it comes", recipe("naughty.py", habit))],
        Dossier(folder / "dossier"),
        subject=habit,
        repeat="again",
        limit_s=30,
        progress=say_nothing,
    )


async def test_a_decoy_that_leaves_in_another_form_is_found(sandbox: Bubblewrap, tmp_path: Path) -> None:
    record = await watched(sandbox, tmp_path, "thief")
    sent = [one for one in record.findings if one.rule == "behave/decoy-sent"]
    assert [(one.severity, dict(one.evidence[0].facts)) for one in sent] == [
        ("high", {"form": "base64", "file": ".aws/credentials"})
    ]
    assert ".aws/credentials" in record.facts["as it comes"]["decoys_read"]
    requests = sorted((tmp_path / "dossier" / "files" / "behave" / "1").iterdir())
    assert [path.name for path in requests] == ["request-1.body", "request-1.head"]


async def test_a_credential_that_goes_where_it_belongs_has_not_leaked(sandbox: Bubblewrap, tmp_path: Path) -> None:
    record = await watched(sandbox, tmp_path, "installer")
    weights = {one.rule: one.severity for one in record.findings}
    assert weights == {"behave/credential-used": "low", "behave/other-hosts": "low", "behave/side-traffic": "low"}


async def test_a_file_beside_the_project_that_is_read_is_seen(sandbox: Bubblewrap, tmp_path: Path) -> None:
    record = await watched(sandbox, tmp_path, "reader")
    assert [(one.rule, one.severity) for one in record.findings] == [("behave/decoy-read", "medium")]
    assert record.facts["as it comes"]["decoys_read"] == ["../.env"]


async def test_a_file_that_http_libraries_look_into_weighs_little(sandbox: Bubblewrap, tmp_path: Path) -> None:
    record = await watched(sandbox, tmp_path, "netrc")
    assert [(one.rule, one.severity) for one in record.findings] == [("behave/decoy-read", "low")]


async def test_other_hosts_and_bare_addresses_are_seen_with_what_they_were_told(
    sandbox: Bubblewrap, tmp_path: Path
) -> None:
    record = await watched(sandbox, tmp_path, "chatty")
    assert {one.rule for one in record.findings} == {"behave/other-hosts", "behave/side-traffic", "behave/bare-address"}
    told = next(one for one in record.findings if one.rule == "behave/side-traffic")
    assert '"event":"start"' in told.evidence[0].excerpt
    tried = {(row["host"], row["port"]) for row in record.facts["as it comes"]["tried"]}
    assert {("telemetry.example.org", 0), ("telemetry.example.org", 80), ("203.0.113.9", 443)} <= tried


async def test_files_and_processes_are_seen(sandbox: Bubblewrap, tmp_path: Path) -> None:
    facts = (await watched(sandbox, tmp_path, "writer")).facts["as it comes"]
    assert ".bashrc" in facts["home_written"]
    assert facts["project_written"] == ["left.txt"]
    assert any("sleep" in word for one in facts["processes"] for word in one["argv"])


async def test_a_client_that_does_its_task_alone_leaves_no_finding(sandbox: Bubblewrap, tmp_path: Path) -> None:
    record = await watched(sandbox, tmp_path, "careful")
    assert record.findings == ()
    assert len(record.facts["as it comes"]["model_requests"]) == 1


async def hostile(sandbox: Bubblewrap, folder: Path, habit: str) -> Record:
    shown = recipe("naughty.py", habit)
    return await repository(
        sandbox,
        folder / "runs",
        shown,
        Dossier(folder / "dossier"),
        client="aider",  # the fewest groups
        interactive=shown.argv,
        subject=habit,
        repeat="again",
        limit_s=30,
        progress=say_nothing,
    )


async def test_a_client_that_obeys_a_hostile_repository_is_found(sandbox: Bubblewrap, tmp_path: Path) -> None:
    record = await hostile(sandbox, tmp_path, "obedient")
    ran = [one for one in record.findings if one.rule == "repository/runs-commands"]
    assert {one.severity for one in ran} == {"medium", "high"}  # without and at a terminal
    assert all("direnv" in one.what for one in ran)
    led = next(one for one in record.findings if one.rule == "repository/asks-elsewhere")
    assert led.severity == "high"
    assert ("carries a key in", "Authorization") in [fact for one in led.evidence for fact in one.facts]


async def test_a_client_that_obeys_nothing_is_not_accused(sandbox: Bubblewrap, tmp_path: Path) -> None:
    record = await hostile(sandbox, tmp_path, "careful")
    assert record.findings == ()
    assert all(not run["ran"] and not run["reached"] for run in record.facts["runs"])


@pytest.mark.timeout(300)
async def test_the_published_mechanism_is_found_in_real_runs(sandbox: Bubblewrap, tmp_path: Path) -> None:
    dossier = Dossier(tmp_path / "dossier")
    record = await differ(
        sandbox,
        tmp_path / "runs",
        recipe("made_up.py", "published"),
        dossier,
        subject="published",
        repeat="again",
        limit_s=30,
        progress=say_nothing,
        plan=Plan(repeats=3, chance=0.05, delays=False),
    )
    found = {(one.rule, one.severity) for one in record.findings if one.severity == "high"}
    assert found == {("differ/look-alike", "high"), ("differ/date-form", "high")}
    causes = {(row["sort"], row["factors"][0]["value"]) for row in record.facts["dependences"]}
    assert {
        ("look-alike", "gateway.example.cn"),
        ("look-alike", "api.deepseek.com"),
        ("date form", "Asia/Shanghai"),
    } <= causes
    shown = next(one for one in record.findings if "U+02BC" in one.what)
    run, request = shown.evidence[0].where.split(", ")[:2]
    stem = f"files/differ/run-{run.split()[1]}/request-{request.split()[1]}"
    body = dossier.attached(f"{stem}.body")
    assert body[shown.evidence[0].offset :].decode().startswith("Todayʼs")
    assert (
        json.loads(dossier.attached(f"{stem.rpartition('/')[0]}/assignment.json"))["endpoint"] == "gateway.example.cn"
    )
