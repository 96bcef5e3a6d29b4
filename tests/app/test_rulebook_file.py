"""The rule file of a gateway that serves: a good change is taken over, a bad one never replaces what is in force."""

from __future__ import annotations

import asyncio
from pathlib import Path

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fakes.ledger import Ledger, opened
from mohist.app import rulebook
from mohist.app.config import Gateway
from mohist.app.errors import ConfigError
from mohist.app.pipeline import BASE_URL, Pipeline
from mohist.app.rulebook import MAX_FILE_BYTES, PolicyFile, describe, policy_path
from mohist.app.serve import run_gateway
from mohist.app.user import user_name
from mohist.base import RandomIds, SystemClock
from mohist.gateway.warden import Warden
from mohist.policy import Facts, RuleError
from mohist.provider.resolution import resolve

GOOD = """
default = "allow"
[[rule]]
id = "{id}"
reason = "No."
cedar = 'forbid(principal == User::"eve", action, resource);'
examples = [{{expect = "deny", user = "eve"}}, {{expect = "allow", user = "ann"}}]
"""
BAD = GOOD.format(id="bad").replace("eve", "Eve", 1)


class Followed:
    """A rule file, and what follows it."""

    def __init__(self, folder: Path, kept: Ledger | None = None) -> None:
        self.path = folder / "gateway-policy.toml"
        self.warden = Warden()
        self.told: list[str] = []
        self.file = PolicyFile(self.path, self.warden, self.told.append, kept.append if kept else None)

    def write(self, text: str) -> None:
        self.path.write_text(text, encoding="utf-8")

    @property
    def ids(self) -> list[str]:
        assert self.warden.rulebook is not None
        return [rule.id for rule in self.warden.rulebook.rules]


@pytest.fixture
def followed(tmp_path: Path) -> Followed:
    return Followed(tmp_path)


def test_what_is_in_force_is_entered_and_rules_that_cannot_be_entered_are_not(tmp_path):
    with opened(tmp_path) as kept:
        followed = Followed(tmp_path, kept)
        followed.file.begin(must_exist=False)
        followed.file.enter()
        followed.write(GOOD.format(id="one"))
        followed.file.look()
        followed.file.look()
        kept.refuses = True
        followed.write(GOOD.format(id="two"))
        followed.file.look()
        followed.file.look()
        assert followed.ids == ["one"]
        assert len(followed.told) == 2
        assert "ledger" in followed.warden.trouble
        kept.refuses = False
        followed.file.look()
        assert followed.ids == ["two"]
        assert followed.warden.trouble == ""
        entries = kept.entries()
    assert {(entry["kind"], entry["stream"]) for entry in entries} == {("policy", "policy")}
    digests = [entry["data"]["digest"] for entry in entries]
    assert digests[0] == ""
    assert len(set(digests)) == len(digests) == 3
    assert digests[2] == followed.warden.rulebook.digest


def test_a_good_change_is_in_force_at_the_next_look(followed):
    followed.write(GOOD.format(id="one"))
    followed.file.begin(must_exist=False)
    followed.write(GOOD.format(id="two"))  # as long as the first, and perhaps as old
    followed.file.look()
    followed.file.look()
    assert followed.ids == ["two"]
    assert followed.warden.rulebook.decide(Facts(user="eve")).rule_ids == ("two",)
    assert len(followed.told) == 1


def test_a_bad_change_is_refused_told_once_and_the_old_rules_stay(followed):
    followed.write(GOOD.format(id="one"))
    followed.file.begin(must_exist=True)
    followed.write(BAD)
    for _ in range(3):
        followed.file.look()
    assert followed.ids == ["one"]
    [told] = followed.told
    assert "rule 'bad', example 1" in told
    assert "rules read before stay in force" in told
    assert followed.warden.trouble
    followed.write(GOOD.format(id="one"))
    followed.file.look()
    assert followed.warden.trouble == ""
    assert followed.ids == ["one"]


def test_a_file_that_vanishes_takes_no_rule_with_it(followed):
    followed.write(GOOD.format(id="one"))
    followed.file.begin(must_exist=True)
    followed.path.unlink()
    followed.file.look()
    followed.file.look()
    assert followed.ids == ["one"]
    assert len(followed.told) == 1


def test_a_file_that_comes_into_being_is_taken_over(followed):
    followed.file.begin(must_exist=False)
    followed.file.look()
    assert followed.told == []
    assert followed.warden.rulebook is None
    followed.write(GOOD.format(id="one"))
    followed.file.look()
    assert followed.ids == ["one"]


@pytest.mark.parametrize("content", [BAD.encode(), b"\xff\xfe", b"#" * (MAX_FILE_BYTES + 1), None])
def test_no_server_starts_with_a_bad_file_or_without_the_one_it_was_told(followed, content):
    if content is not None:
        followed.path.write_bytes(content)
    with pytest.raises(RuleError, match=r"gateway-policy\.toml"):
        followed.file.begin(must_exist=True)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=60), cut=st.integers(0, 200))
def test_no_content_of_the_file_replaces_good_rules_by_bad_ones(tmp_path, data, cut):
    followed = Followed(tmp_path)
    good = GOOD.format(id="one")
    followed.write(good)
    followed.file.begin(must_exist=True)
    followed.path.write_bytes(good.encode()[:cut] + data)
    followed.file.look()
    rulebook = followed.warden.rulebook
    assert rulebook is not None
    assert not any(trial.fault for trial in rulebook.trials())
    if followed.warden.trouble:
        assert followed.ids == ["one"]


async def test_the_watch_takes_over_what_changes_while_it_runs(followed):
    followed.write(GOOD.format(id="one"))
    followed.file.begin(must_exist=True)
    changed = asyncio.Event()
    loop = asyncio.get_running_loop()
    file = PolicyFile(followed.path, followed.warden, lambda _line: loop.call_soon_threadsafe(changed.set))
    file.begin(must_exist=True)
    async with anyio.create_task_group() as group:
        group.start_soon(file.watch, 0.001)
        followed.write(GOOD.format(id="two"))
        with anyio.fail_after(60):
            await changed.wait()
        group.cancel_scope.cancel()
    assert followed.ids == ["two"]


def test_only_the_state_folder_and_the_command_line_name_the_file(tmp_path):
    assert policy_path(tmp_path, None) == tmp_path / "gateway-policy.toml"
    assert policy_path(tmp_path, Path("x.toml")) == Path("x.toml")


@pytest.fixture
def managed(tmp_path, monkeypatch):
    path = tmp_path / "etc" / "gateway-policy.toml"
    path.parent.mkdir()
    monkeypatch.setattr(rulebook, "MANAGED_FILE", path)
    return path


def test_the_machines_file_wins_and_no_other_may_be_chosen(tmp_path, managed):
    assert policy_path(tmp_path, None) == tmp_path / "gateway-policy.toml"
    managed.write_text(GOOD.format(id="machine"), encoding="utf-8")
    assert policy_path(tmp_path, None) == managed
    assert policy_path(tmp_path, managed) == managed
    with pytest.raises(ConfigError, match=r"--policy 'x\.toml' is refused") as refused:
        policy_path(tmp_path, Path("x.toml"))
    assert str(managed) in str(refused.value)


def test_a_machines_file_that_can_not_be_read_does_not_count_as_none(tmp_path, managed):
    managed.symlink_to(tmp_path / "nothing")
    with pytest.raises(RuleError, match="can't be read"):
        PolicyFile(policy_path(tmp_path, None), Warden(), lambda _line: None).begin(must_exist=False)


def test_a_machines_file_that_comes_while_calls_are_served_takes_over_and_does_not_go_with_its_file(followed, managed):
    followed.write(GOOD.format(id="own"))
    followed.file.begin(must_exist=True)
    managed.write_text(GOOD.format(id="machine"), encoding="utf-8")
    followed.file.look()
    assert followed.ids == ["machine"]
    managed.unlink()
    followed.file.look()
    assert followed.ids == ["machine"]
    assert "can't be read" in followed.told[-1]


async def test_a_run_in_its_own_process_goes_by_the_machines_rules(tmp_path, managed):
    (tmp_path / "gateway-policy.toml").write_text('default = "allow"', encoding="utf-8")
    managed.write_text(
        GOOD.format(id="machine").replace('"eve"', f'"{user_name()}"').replace("ann", "nobody-else"), "utf-8"
    )
    model = resolve("http://127.0.0.1:9/v1#m", {})
    pipeline = Pipeline(model, {}, Gateway("", "", "closed"), tmp_path, "shop", SystemClock(), RandomIds(SystemClock()))
    client = pipeline.start()
    try:
        answer = await client.post(f"{BASE_URL}/chat/completions", json={"model": "m", "messages": []})
    finally:
        await pipeline.close()
    assert (answer.status_code, "(rule machine)" in answer.text) == (403, True)


def test_what_is_in_force_is_said_in_a_line(followed):
    assert "everything" in describe(None)
    followed.write(GOOD.format(id="one"))
    followed.file.begin(must_exist=True)
    assert "1 rule(s)" in describe(followed.warden.rulebook)


async def test_a_gateway_with_a_bad_rule_file_serves_nothing(tmp_path):
    (tmp_path / "gateway-policy.toml").write_text(BAD, encoding="utf-8")
    (tmp_path / "routes.toml").write_text(
        '[[routes]]\nmodel = "m"\n[[routes.upstreams]]\nname = "u"\ndialect = "openai-chat"\nurl = "http://127.0.0.1:9"\n',
        encoding="utf-8",
    )
    env = {"MOHIST_HOME": str(tmp_path)}
    with pytest.raises(RuleError, match="rule 'bad', example 1"):
        await run_gateway(env, "127.0.0.1", 0, None, lambda *_: pytest.fail("it serves"))
    (tmp_path / "gateway-policy.toml").unlink()
    with pytest.raises(RuleError, match=r"other\.toml"):
        await run_gateway(
            env, "127.0.0.1", 0, None, lambda *_: pytest.fail("it serves"), policy=tmp_path / "other.toml"
        )
