"""What people say to a delivery on its way, each verb through the real command line."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from delivering import Open, Shop
from developer import Said, until

pytestmark = [pytest.mark.release, pytest.mark.enable_socket]
BETTER = "def shipping(total):\n    return 0 if total > 99 else 5\n"


def at(shop: Shop, *words: str, code: int = 0) -> Said:
    """One verb at the last delivery; its exit code is as it should be."""
    verb, *rest = words
    said = shop.dev.mohist("deliver", verb, "last", *rest)
    assert said.code == code, (words, said.out, said.err)
    return said


def to_the_spec(shop: Shop) -> None:
    said = shop.dev.mohist(*shop.deliver())
    assert said.code == 6, said.err
    assert "spec v1" in said.out


def to_the_merge(shop: Shop) -> None:
    to_the_spec(shop)
    at(shop, "approve")
    at(shop, "resume", code=6)


def test_a_comment_is_heard_by_whoever_works_next(opened: Open) -> None:
    shop = opened()
    to_the_spec(shop)
    before = shop.show()
    at(shop, "comment", "mind the euro sign", "--as", "bob")
    after = shop.show()
    assert (after["status"], after["revision"]) == (before["status"], before["revision"]), "it changes nothing itself"
    at(shop, "approve")
    at(shop, "resume", code=6)
    heard = {role for role, words in shop.cast.heard if "mind the euro sign" in words}
    assert {"planner", "implementer"} <= heard
    at(shop, "approve")
    at(shop, "resume")
    assert "| bob | comment | mind the euro sign |" in shop.dev.mohist("deliver", "report", "last", "--markdown").out


def test_pause_lets_the_stage_end_and_begins_no_other_until_it_is_resumed(opened: Open) -> None:
    shop = opened()
    dev = shop.dev
    shop.cast.before = dev.sleeper()
    child = dev.start(*shop.deliver("--yes"))
    until(dev.running, "the implementer's command")
    at(shop, "pause", "--as", "bob")
    assert shop.show()["detail"] == "paused by bob"
    shop.cast.before = ""
    for pid in dev.running():
        subprocess.run(["kill", str(pid)], check=True)
    said = dev.ended(child)
    assert said.code == 6, said.err
    told = shop.show()
    assert (told["status"], told["segment"]) == ("paused", "")
    assert shop.stage("implement")["status"] == "done"
    assert "verify" not in {row["stage"] for row in told["stages"]}
    at(shop, "pause", "--as", "bob")
    at(shop, "resume", "--as", "cid")
    assert shop.show()["status"] == "done"
    kinds = [json.loads(line)["kind"] for line in at(shop, "show", "--follow", "--json").out.splitlines()]
    assert kinds.count("paused") == 1
    assert kinds.index("resumed") > kinds.index("paused")


def test_gates_stay_open_and_count_while_it_is_paused(opened: Open) -> None:
    shop = opened()
    to_the_spec(shop)
    at(shop, "pause")
    at(shop, "approve", "--as", "bob")
    assert shop.show()["status"] == "paused"
    assert at(shop, "resume", code=6).out
    assert shop.stage("implement")["status"] == "done"


def test_a_person_takes_it_over_works_in_its_worktree_and_hands_it_back(opened: Open) -> None:
    shop = opened()
    dev = shop.dev
    to_the_spec(shop)
    early = at(shop, "take-over", code=1)
    assert "after its plan" in early.err
    at(shop, "approve")
    at(shop, "resume", code=6)
    folder = Path(at(shop, "take-over", "--as", "bob").out.strip())
    assert (folder / "shop.py").read_text(encoding="utf-8") == shop.cast.change
    again = Path(at(shop, "take-over", "--as", "bob").out.strip())
    assert again == folder
    for words in (("take-over",), ("hand-back",), ("resume",)):
        assert "bob" in at(shop, *words, "--as", "cid", code=3 if words == ("hand-back",) else 1).err
    (folder / "shop.py").write_text(BETTER, encoding="utf-8")
    at(shop, "hand-back", "--as", "bob")
    shop.cast.heard.clear()
    at(shop, "resume", code=6)
    assert "implementer" not in shop.cast.roles(), "what bob made stays"
    assert shop.cast.roles() == ["reviewer"], "and is verified and reviewed like anybody's"
    at(shop, "approve")
    at(shop, "resume")
    assert dev.git("show", "release:shop.py") == BETTER
    assert "Mohist-Person: bob" in dev.git("log", "--format=%B", "release")


def test_what_was_handed_back_unchanged_goes_on_where_it_was(opened: Open) -> None:
    shop = opened()
    to_the_merge(shop)
    before = shop.show()
    at(shop, "take-over")
    at(shop, "hand-back")
    shop.cast.heard.clear()
    at(shop, "approve")
    at(shop, "resume")
    assert shop.cast.heard == []
    assert shop.show()["attempt"] == before["attempt"]


def test_work_that_does_not_hold_is_verified_like_anybodys(opened: Open) -> None:
    shop = opened()
    to_the_merge(shop)
    folder = Path(at(shop, "take-over").out.strip())
    (folder / "shop.py").write_text("def shipping(total):\n    return 7\n", encoding="utf-8")
    at(shop, "hand-back")
    at(shop, "resume", code=1)
    assert shop.stage("verify")["status"] == "failed"
    assert shop.dev.git("rev-list", "--count", "release").strip() == "1"
    at(shop, "retry", "implement")
    at(shop, "resume", code=6)
    assert shop.stage("verify")["status"] == "done"


def test_retry_says_what_comes_before_and_never_goes_back_over_the_merge(opened: Open) -> None:
    shop = opened()
    to_the_spec(shop)
    assert "before" in at(shop, "retry", "merge", code=1).err
    assert "Stages are" in at(shop, "retry", "deplyo", code=1).err
    at(shop, "retry", "specify")
    at(shop, "resume", code=6)
    assert shop.cast.roles().count("architect") == 2
    assert [gate["status"] for gate in shop.show()["gates"]] == ["withdrawn", "open"]
    at(shop, "approve")
    at(shop, "resume", code=6)
    at(shop, "approve")
    at(shop, "resume")
    assert "merged" in at(shop, "retry", "implement", code=1).err
    at(shop, "retry", "report")
    at(shop, "resume")


def test_a_budget_stops_it_with_its_work_kept_and_a_person_gives_as_much_as_they_say(opened: Open) -> None:
    shop = opened()
    said = shop.dev.mohist(*shop.deliver("--yes", "--max-tokens", "250"))
    assert said.code == 4, said.err
    assert "budget" in said.out
    spent = shop.show()["spent_tokens"]
    assert at(shop, "approve", "--more-tokens", "-5", code=2)
    at(shop, "approve", "--more-tokens", "100000", "--as", "bob")
    at(shop, "resume")
    told = shop.show()
    assert told["status"] == "done"
    assert told["bound"]["tokens"] == spent + 100_000
    assert shop.cast.roles().count("analyst") == 1


def test_a_budget_that_is_rejected_ends_it_with_its_work_kept(opened: Open) -> None:
    shop = opened()
    assert shop.dev.mohist(*shop.deliver("--yes", "--max-tokens", "250")).code == 4
    at(shop, "reject", "--because", "too dear")
    assert shop.show()["status"] == "failed"
    assert Path(shop.show()["desk"], "spec.md").is_file()


TWO = '[[gates]]\nkind = "spec"\nneeds = ["ann", "bob", "cid"]\ncount = 2\n'


def test_two_people_at_once_are_both_heard(opened: Open) -> None:
    shop = opened(rules=TWO)
    to_the_spec(shop)
    children = [shop.dev.start("deliver", "approve", "last", "--as", name) for name in ("ann", "bob")]
    assert [shop.dev.ended(child).code for child in children] == [0, 0]
    (gate,) = shop.show()["gates"]
    assert (gate["status"], sorted(one["by"] for one in gate["decisions"])) == ("approved", ["ann", "bob"])


def test_of_two_that_disagree_the_first_counts_and_the_other_is_told(opened: Open) -> None:
    shop = opened()
    to_the_spec(shop)
    yes = shop.dev.start("deliver", "approve", "last", "--as", "ann")
    no = shop.dev.start("deliver", "reject", "last", "--because", "no", "--as", "bob")
    codes = [shop.dev.ended(child).code for child in (yes, no)]
    assert sorted(codes) == [0, 1]
    (first, *_) = shop.show()["gates"]
    assert first["status"] == ("approved" if codes[0] == 0 else "rejected")
    assert len(first["decisions"]) == 1


def test_who_may_not_decide_is_refused_and_told_who_may(opened: Open) -> None:
    shop = opened(rules='four_eyes = "low"\n' + TWO)
    me = shop.dev.mohist(*shop.deliver())
    assert me.code == 6, me.err
    asked_by = shop.show()["requested_by"]
    for who in (asked_by, "mallory"):
        refused = at(shop, "approve", "--as", who, code=3)
        assert "ann" in refused.err
    assert at(shop, "reject", "--because", "x", "--as", "mallory", code=3)
    assert at(shop, "escalate", "--as", "mallory", code=3)
    assert at(shop, "delegate", "--to", "eve", "--as", "mallory", code=3)
    assert shop.show()["gates"][0]["decisions"] == []


def test_somebody_decides_in_anothers_place(opened: Open) -> None:
    shop = opened(rules='escalate = ["eve"]\n[[gates]]\nkind = "spec"\nneeds = ["ann"]\n')
    to_the_spec(shop)
    assert "dan decides for ann" in at(shop, "delegate", "--to", "dan", "--as", "ann").err
    assert "lets 'dan' decide" in at(shop, "approve", "--as", "ann", code=3).err
    at(shop, "delegate", "--to", "ann", "--as", "ann")
    assert "ann or eve" in at(shop, "escalate", "--because", "on leave", "--as", "ann").err
    at(shop, "approve", "--as", "eve")
    assert shop.show()["gates"][0]["status"] == "approved"


def test_an_approval_of_what_has_changed_is_refused(opened: Open) -> None:
    shop = opened()
    to_the_spec(shop)
    spec = Path(shop.show()["desk"], "spec.md")
    spec.write_text(spec.read_text(encoding="utf-8").replace("One condition.", "Two."), encoding="utf-8")
    assert "new version" in at(shop, "approve", code=1).err
    at(shop, "resume", code=6)
    old, new = shop.show()["gates"]
    assert (old["status"], new["status"], new["subject"]) == ("withdrawn", "open", "spec v2")
    at(shop, "approve", "--gate", old["gate_id"], code=1)
    at(shop, "approve", "--gate", "spec")
    at(shop, "resume", code=6)
    merge = next(gate for gate in shop.show()["gates"] if gate["status"] == "open")
    folder = Path(at(shop, "take-over").out.strip())
    (folder / "shop.py").write_text(BETTER, encoding="utf-8")
    at(shop, "hand-back")
    at(shop, "approve", "--gate", merge["gate_id"], code=1)
    at(shop, "resume", code=6)
    at(shop, "approve", "--gate", "merge")
    at(shop, "resume")
    assert shop.dev.git("show", "release:shop.py") == BETTER


def test_whoever_follows_sees_it_through_and_resume_tells_only_what_is_new(opened: Open) -> None:
    shop = opened()
    dev = shop.dev
    to_the_spec(shop)
    waiting = at(shop, "show", "--until-waiting", code=6)
    assert "● waits for spec v1" in waiting.out
    watching = dev.start("deliver", "show", "last", "--follow")
    at(shop, "comment", "mind the euro sign", "--as", "bob")
    at(shop, "approve")
    resumed = at(shop, "resume", code=6)
    assert "plan begins" in resumed.err
    assert "clarify" not in resumed.err
    at(shop, "approve", "--gate", "merge")
    at(shop, "resume")
    seen = dev.ended(watching)
    assert seen.code == 0
    assert "● bob: mind the euro sign" in seen.out
    assert "mohist deliver approve" in seen.out, "what is to be decided is shown where it waits"
    assert seen.out.rstrip().endswith("● done")
    assert seen.out.count("clarify begins") == 1
    listed = dev.mohist("deliver", "list", "--status", "done").out
    assert "Orders of 100 or more ship free" in listed
    assert "no deliveries are failed" in dev.mohist("deliver", "list", "--status", "failed").out


def test_a_misspelt_verb_begins_no_delivery(opened: Open) -> None:
    shop = opened()
    said = shop.dev.mohist("deliver", "shwo", "last")
    assert (said.code, "did you mean 'show'" in said.err) == (2, True)
    assert shop.dev.mohist("deliver", "list", "--status", "donee").code == 2
    assert shop.dev.mohist("deliver", "list", "--json").json == []
