"""Triggers are data of the company's and the user's files: read strictly, secrets by name only."""

from __future__ import annotations

from pathlib import Path

import pytest

from mohist.delivery.errors import RuleError
from mohist.delivery.rule import load_rules
from mohist.delivery.state import Bound
from mohist.delivery.trigger.setting import Cron, Drop, Listening, Webhook, load_triggers, secrets_of

CRON = """
[trigger.nightly]
kind = "cron"
schedule = "30 2 * * 1-5"
zone = "Europe/Berlin"
repository = "/srv/shop"
requester = "nightly"
requirement = "Bring the dependencies up to date."
"""
WEBHOOK = """
[trigger.issues]
kind = "webhook"
scheme = "github"
secret_env = "SHOP_HOOK"
repository = "/srv/shop"
requester = "issues"
requirement = "{/issue/html_url}"
[trigger.issues.when]
"/action" = "labeled"
"/label/name" = ["mohist", "deliver"]
"""
DROP = """
[trigger.inbox]
kind = "drop"
folder = "/srv/inbox"
repository = "/srv/shop"
requester = "inbox"
"""


def test_each_kind_is_read_with_its_defaults() -> None:
    text = CRON + 'max_cost_usd = 5\nenvironments = ["staging"]\nbase = "main"\nyes = true\n' + WEBHOOK + DROP
    nightly, issues, inbox = load_triggers(text, "f").triggers
    assert isinstance(nightly.how, Cron)
    assert (str(nightly.how.schedule), nightly.how.missed) == ("30 2 * * 1-5 Europe/Berlin", "newest")
    assert (nightly.bound, nightly.base, nightly.most_open) == (Bound(5_000_000), "main", 1)
    assert nightly.options == {"trigger": "nightly", "yes": True, "environments": ["staging"], "candidates": 1}
    assert isinstance(issues.how, Webhook)
    assert issues.how.when == (("/action", ("labeled",)), ("/label/name", ("mohist", "deliver")))
    assert (issues.kind, issues.most_open, issues.how.window_s) == ("webhook", 20, 300.0)
    assert isinstance(inbox.how, Drop)
    assert inbox.requirement is None


def test_the_same_name_for_another_repository_is_another_trigger() -> None:
    (here,) = load_triggers(DROP, "f").triggers
    (there,) = load_triggers(DROP.replace("/srv/shop", "/srv/site"), "f").triggers
    assert here.ident.startswith("inbox@")
    assert here.ident != there.ident


def test_nothing_listens_unless_it_is_said_and_beyond_this_machine_only_behind_tls() -> None:
    assert load_triggers(WEBHOOK, "f").listening is None
    read = load_triggers('[webhooks]\nlisten = "[::1]:0"\nmax_bytes = 9\n', "f")
    assert read.listening == Listening("::1", 0, 9)
    with pytest.raises(RuleError, match="unencrypted"):
        load_triggers('[webhooks]\nlisten = "0.0.0.0:80"\n', "f")
    assert load_triggers('[webhooks]\nlisten = "0.0.0.0:80"\nbehind_tls = true\n', "f").listening
    for bad in ("8080", "localhost:http", "localhost:70000", ":80"):
        with pytest.raises(RuleError, match="HOST:PORT"):
            load_triggers(f'[webhooks]\nlisten = "{bad}"\n', "f")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (CRON.replace("30 2 * * 1-5", "30 2 * *"), "five fields"),
        (CRON.replace("30 2 * * 1-5", "61 2 * * *"), "schedule '61 2"),
        (CRON.replace("30 2 * * 1-5", "* * */20 * 1L"), "never due"),
        (CRON.replace("Europe/Berlin", "Europe/Atlantis"), "zone 'Europe/Atlantis' is not known"),
        (CRON.replace("requirement", "requirment"), "did you mean 'requirement'"),
        (CRON.replace("Bring", "Bring {/issue/title}"), "brings no JSON"),
        (CRON.replace('requirement = "Bring the dependencies up to date."', ""), "needs requirement"),
        (CRON.replace("/srv/shop", "shop"), "must be absolute"),
        (CRON.replace('requester = "nightly"', ""), "requester"),
        (CRON + 'folder = "/srv"\n', "folder belongs to kind 'drop'"),
        (WEBHOOK.replace('secret_env = "SHOP_HOOK"', ""), "either secret_env or secret_file"),
        (WEBHOOK.replace('secret_env = "SHOP_HOOK"', 'secret = "x"'), "secret is not known"),
        (WEBHOOK.replace('scheme = "github"', 'scheme = "github"\nyes = true'), "yes is not for webhooks"),
        (WEBHOOK.replace('"/action"', '"action"'), "no JSON pointer"),
        (DROP.replace("inbox]", "In box]").replace("In box", '"In box"'), "pattern"),
        (DROP.replace("[trigger.", "[triggers."), "'triggers' is not known"),
        ("[webhook]\nlisten = 'x'\n", "'webhook' is not known"),
        ("[trigger", "not valid TOML"),
    ],
    ids=lambda value: value[:24].strip() if not value.startswith(("\n", "[")) else "",
)
def test_what_is_not_as_it_must_be_is_told_with_its_place(text: str, told: str) -> None:
    with pytest.raises(RuleError) as raised:
        load_triggers(text, "deliver.toml")
    assert told in str(raised.value)
    assert "deliver.toml" in str(raised.value)


def test_secrets_are_read_where_they_are_named_and_never_told(tmp_path: Path) -> None:
    (trigger,) = load_triggers(WEBHOOK, "f").triggers
    first, second = "a1" * 16, "b2" * 16
    assert secrets_of(trigger, {"SHOP_HOOK": first}) == (first,)
    (tmp_path / "hook").write_text(f"{first}\n{second}\n", encoding="utf-8")
    by_file = WEBHOOK.replace('secret_env = "SHOP_HOOK"', f'secret_file = "{tmp_path}/hook"')
    (trigger,) = load_triggers(by_file, "f").triggers
    assert secrets_of(trigger, {}) == (first, second), "the next one may be there before the last one goes"
    assert first not in repr(trigger)
    (tmp_path / "hook").write_text("short", encoding="utf-8")
    with pytest.raises(RuleError, match="shorter than 16") as raised:
        secrets_of(trigger, {})
    assert "'short'" not in str(raised.value)
    (tmp_path / "hook").unlink()
    with pytest.raises(RuleError, match="not there or empty"):
        secrets_of(trigger, {})
    (standard,) = load_triggers(WEBHOOK.replace('"github"', '"standard"'), "f").triggers
    with pytest.raises(RuleError, match="whsec_"):
        secrets_of(standard, {"SHOP_HOOK": "not base64 at all!"})


def test_the_guides_examples_are_as_they_say() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "delivery.md").read_text(encoding="utf-8")
    blocks = [block.partition("```")[0] for block in guide.split("```toml\n")[1:]]
    (triggers,) = [block for block in blocks if "[trigger.nightly]" in block]
    read = load_triggers(triggers, "the guide")
    assert [trigger.kind for trigger in read.triggers] == ["cron", "webhook", "drop"]
    assert read.listening == Listening("127.0.0.1", 8486)
    (rules,) = [block for block in blocks if "[[waive]]" in block]
    assert load_rules(rules).expires_h == 48
