"""`mohist deliver`, the whole way through the real command line: people, refusals, kills, cancels, releases."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import httpx2
import pytest
from delivering import REQUIREMENT, SHOP, Open, environment, free_port, shop
from developer import Developer, until

pytestmark = [pytest.mark.release, pytest.mark.enable_socket]


def test_yes_takes_a_requirement_to_a_merged_change_and_a_report(opened: Open) -> None:
    shop = opened()
    before = shop.dev.git("status", "--porcelain")
    said = shop.dev.mohist(*shop.deliver("--yes", "--json"))
    assert said.code == 0, said.err
    told = said.json
    assert (told["status"], told["options"]["yes"], told["requirement"]) == ("done", True, REQUIREMENT)
    assert shop.dev.git("show", "release:shop.py") == shop.cast.change
    assert shop.dev.git("rev-parse", "release").strip() == told["merged"]
    assert shop.dev.git("status", "--porcelain") == before
    assert shop.branches() == ["main", "release"]
    report = shop.dev.mohist("deliver", "report", "last", "--markdown")
    assert "| AC\\-1 |" in report.out or "| AC-1 |" in report.out
    assert Path(shop.dev.mohist("deliver", "report", told["delivery_id"][:12]).out.strip()).is_file()
    assert [row["status"] for row in shop.dev.mohist("deliver", "list", "--json").json] == ["done"]


def test_it_waits_for_each_person_and_tells_what_for(opened: Open) -> None:
    question = {"question": "Per order or per customer?", "recommended": "per order", "why": "The sum differs."}
    rules = '[[gates]]\nid = "money"\nkind = "merge"\nneeds = ["bob"]\n'
    shop = opened(rules=rules, questions=[question])
    dev = shop.dev
    said = dev.mohist(*shop.deliver())
    assert said.code == 6, said.err
    assert "Per order or per customer?" in said.out
    assert dev.mohist("deliver", "answer", "last", "Q1=per customer").code == 0
    said = dev.mohist("deliver", "resume", "last")
    assert said.code == 6
    assert "spec v1" in said.out
    assert any("per customer" in words for role, words in shop.cast.heard if role == "architect")
    # Sent back with a reason, which the architect hears.
    assert dev.mohist("deliver", "reject", "last").code == 2
    assert dev.mohist("deliver", "reject", "last", "--because", "name the currency").code == 0
    assert dev.mohist("deliver", "resume", "last").code == 6
    assert shop.cast.roles().count("architect") == 2
    assert "name the currency" in shop.cast.heard[-1][1]
    assert dev.mohist("deliver", "approve", "last").code == 0
    said = dev.mohist("deliver", "resume", "last", "--json")
    assert (said.code, said.json["stage"]) == (6, "review")
    refused = dev.mohist("deliver", "approve", "last")
    assert refused.code == 3
    assert "bob" in refused.err
    assert dev.mohist("deliver", "approve", "last", "--as", "bob").code == 0
    assert dev.mohist("deliver", "resume", "last").code == 0
    report = dev.mohist("deliver", "report", "last", "--markdown").out
    assert "bob" in report
    assert "name the currency" in report


EVERY = ("clarify", "specify", "plan", "implement", "verify", "review", "merge", "report")


@pytest.mark.parametrize(("engine", "stages"), [("plain", EVERY), ("dbos", ("specify", "implement", "merge"))])
def test_a_process_killed_in_any_stage_is_gone_on_with(opened: Open, engine: str, stages: tuple[str, ...]) -> None:
    shop = opened()
    dev = shop.dev
    dev.home.mkdir()
    (dev.home / "deliver.toml").write_text(f'engine = "{engine}"\n', encoding="utf-8")
    words = shop.deliver("--yes")
    for stage in stages:
        child = dev.start(*words)
        assert child.stderr is not None
        for line in child.stderr:
            if line.decode().startswith(f"● {stage} begins"):
                break
        else:
            pytest.fail(f"{stage} never began")
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        words = ["deliver", "resume", "last"]
    said = dev.mohist(*words, "--json")
    assert said.code == 0, said.err
    assert len(dev.mohist("deliver", "list", "--json").json) == 1
    # Each effect once: one spec, one change, each on the other, nothing twice.
    assert dev.git("rev-list", "--count", "release").strip() == "3"
    assert dev.git("show", "release:shop.py") == shop.cast.change
    spent = [row["tokens"] for row in said.json["stages"]]
    assert said.json["spent_tokens"] == sum(spent)


def test_a_worker_goes_on_with_what_others_recorded(opened: Open) -> None:
    shop = opened()
    dev = shop.dev
    assert dev.mohist(*shop.deliver("--yes", "--detach")).code == 0
    worker = dev.start("deliver", "work")
    until(lambda: shop.show()["status"] == "done", "the worker to deliver")
    worker.send_signal(signal.SIGTERM)
    assert dev.ended(worker).code == 0


def test_cancel_leaves_no_process_no_worktree_and_no_branch(opened: Open) -> None:
    shop = opened()
    dev = shop.dev
    shop.cast.before = dev.sleeper()
    child = dev.start(*shop.deliver("--yes"))
    until(dev.running, "the implementer's command")
    assert shop.leftovers()
    said = dev.mohist("deliver", "cancel", "last", "--because", "not wanted")
    assert said.code == 0, said.err
    assert dev.ended(child).code == 130
    assert not dev.running()
    assert not shop.leftovers()
    assert shop.branches() == ["main", "release"]
    assert dev.git("worktree", "list", "--porcelain").count("worktree ") == 1
    told = shop.show()
    assert (told["status"], told["segment"]) == ("cancelled", "")
    assert dev.mohist("deliver", "retry", "last", "implement").code == 1


def test_cancel_settles_what_a_killed_process_left(opened: Open) -> None:
    shop = opened()
    dev = shop.dev
    shop.cast.before = dev.sleeper()
    child = dev.start(*shop.deliver("--yes"))
    until(dev.running, "the implementer's command")
    os.kill(child.pid, signal.SIGKILL)
    assert dev.mohist("deliver", "cancel", "last").code == 0
    until(lambda: not dev.running(), "the sandbox to end")
    assert not shop.leftovers()
    assert shop.show()["segment"] == ""


def test_ctrl_c_stops_it_with_its_work_kept(opened: Open) -> None:
    shop = opened()
    dev = shop.dev
    shop.cast.before = dev.sleeper()
    child = dev.start(*shop.deliver("--yes"))
    until(dev.running, "the implementer's command")
    child.send_signal(signal.SIGINT)
    said = dev.ended(child)
    assert said.code == 130
    assert "deliver resume" in said.err
    assert not dev.running()
    shop.cast.before = ""
    assert dev.mohist("deliver", "resume", "last").code == 0, "it goes on"


def test_a_release_serves_and_a_sick_one_is_taken_back(opened: Open) -> None:
    port = free_port()
    one = opened(shop(), environment(port))
    dev = one.dev
    said = dev.mohist(*one.deliver("--yes", "--json"))
    assert said.code == 0, said.err
    answer = httpx2.get(f"http://127.0.0.1:{port}/").json()
    assert answer == {"version": said.json["merged"], "shipping": 0}
    assert [row["status"] for row in said.json["releases"]] == ["committed"]
    # The next change breaks the service: its checks pass, its health does not.
    one.cast.change = "import os\n\nif 'PORT' in os.environ:\n    raise SystemExit(3)\n\n" + one.cast.change.replace(
        "100 else 5", "100 else 4 + 1"
    )
    dev.git("checkout", "-q", "release")
    dev.write("shop.py", SHOP["shop.py"])
    dev.git("commit", "-q", "-am", "Take it back")
    dev.git("checkout", "-q", "main")
    sick = dev.mohist(*one.deliver("--yes", "--json"))
    assert sick.code == 1, sick.err
    assert [row["status"] for row in sick.json["releases"]] == ["rolled-back"]
    assert httpx2.get(f"http://127.0.0.1:{port}/").json() == answer
    assert one.stage("deploy")["status"] == "failed"
    report = dev.mohist("deliver", "report", "last", "--markdown").out
    assert "rolled-back" in report.replace("\\", "")


def test_a_bare_repository_gets_the_change_while_the_branch_stays_checked_out(opened: Open) -> None:
    shop = opened()
    dev = shop.dev
    bare = dev.room / "shop.git"
    dev.git("clone", "-q", "--bare", ".", str(bare))
    said = dev.mohist("deliver", "--model", shop.endpoint.model, "--remote", str(bare), "--yes", "--json", REQUIREMENT)
    assert said.code == 0, said.err
    assert dev.git("-C", str(bare), "show", "main:shop.py") == shop.cast.change
    assert dev.git("-C", str(bare), "rev-parse", "main").strip() == said.json["merged"]
    assert dev.git("rev-list", "--count", "main").strip() == "1"
    assert dev.read("shop.py") == SHOP["shop.py"]


def test_what_cant_be_begun_says_why(dev: Developer) -> None:
    assert dev.mohist("deliver", "  ").code == 2
    assert dev.mohist("deliver").code == 2
    assert dev.mohist("deliver", "--file", "nowhere.md").code == 2
    unknown = dev.mohist("deliver", "show", "dlv-nothing")
    assert unknown.code == 1
    assert "deliver list" in unknown.err
    elsewhere = dev.room / "plain"
    elsewhere.mkdir()
    assert "repository" in dev.mohist("deliver", "do it", cwd=elsewhere).err
    assert dev.mohist("deliver", "do it").code == 5
    dev.write(".mohist/deliver.toml", "[[gate]]\nkind = 'merge'\n")
    dev.git("add", "-A")
    dev.git("commit", "-q", "-m", "Rules")
    misread = dev.mohist("deliver", "do it")
    assert misread.code != 0
    assert "gates" in misread.err
    assert dev.mohist("deliver", "list", "--json").json == []


def test_a_budget_is_not_held_by_guessing_what_a_model_without_a_price_costs(opened: Open) -> None:
    shop = opened()
    dev = shop.dev
    refused = dev.mohist(*shop.deliver("--yes", "--max-cost-usd", "1"))
    assert refused.code == 1
    assert "No price is known" in refused.err + refused.out
    (dev.home / "deliver.toml").write_text('unpriced = "free"\n', encoding="utf-8")
    said = dev.mohist(*shop.deliver("--yes", "--max-cost-usd", "1", "--json"))
    assert said.code == 0, said.err
    assert (said.json["spent_microusd"], said.json["held_microusd"]) == (0, 0)
    assert said.json["unpriced"] == len(shop.cast.heard)
    assert "cost price unknown" in dev.mohist("deliver", "show", "last").out
    assert "unpriced" in dev.mohist("deliver", "list").out
    assert "price unknown" in dev.mohist("deliver", "report", "last", "--markdown").out


def test_a_detached_head_is_told_before_anything_is_paid_for(opened: Open) -> None:
    shop = opened()
    dev = shop.dev
    dev.git("checkout", "-q", "--detach")
    said = dev.mohist("deliver", "--model", shop.endpoint.model, "--yes", REQUIREMENT)
    assert said.code == 2
    assert "--base" in said.err
    assert shop.cast.heard == []
    assert dev.mohist("deliver", "list", "--json").json == []
    assert dev.mohist(*shop.deliver("--yes")).code == 0, "into a branch that is named it goes"


def test_a_project_without_tests_that_is_red_is_told_so_and_the_criteria_alone_decide(opened: Open) -> None:
    files = {"shop.py": SHOP["shop.py"], "Makefile": "lint:\n\t@echo red; exit 1\n"}
    shop = opened(files)
    said = shop.dev.mohist(*shop.deliver("--yes", "--json"))
    assert said.code == 0, said.err
    report = shop.dev.mohist("deliver", "report", "last", "--markdown").out.replace("\\", "")
    assert "lint" in report
    told = shop.stage("verify")["detail"] + shop.stage("review")["detail"]
    assert "No build and no tests found" in told or "no tests" in report.lower(), told
