"""Secrets that only their name gives away are found, and what merely looks like them is left alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random
from string import ascii_letters, digits
from uuid import UUID

import pytest

from mohist.guard import CERTAIN, Block, GuardLimitError, Hit, View
from mohist.guard.block import Source
from mohist.guard.keyword import BLOCKING, MASKING, detector, keyword_detector
from mohist.guard.matcher import build_matcher

DETECTOR = keyword_detector()
MATCHER = build_matcher([DETECTOR])
RE2 = build_matcher([DETECTOR], engine="re2")


def made(seed: int, length: int = 14, alphabet: str = ascii_letters + digits) -> str:
    """A value that was never valid."""
    return "".join(Random(seed).choices(alphabet, k=length))


def hits(text: str, path: str = "", source: Source = "file") -> list[Hit]:
    view = View(text)
    return list(DETECTOR.detect(view, Block(text, source=source, path=path), MATCHER.matches(view).get("keyword", {})))


def values(text: str, path: str = "") -> Sequence[str]:
    return [text[hit.start : hit.end] for hit in hits(text, path)]


@pytest.mark.parametrize(
    ("form", "path"),
    [
        ('password = "{}"', "app/settings.py"),
        ("spring.datasource.password={}", "application.properties"),
        ("    password: {}", "config/database.yml"),
        ('  "client_secret": "{}",', "conf/client.json"),
        ("export SECRET_KEY={}", "deploy.sh"),
        ('private static final String PASSWORD = "{}";', "Main.java"),
        ("MYSQL_ROOT_PASSWORD={}", "docker/.env"),
        ("api_key: '{}'", ""),
        ("密码：{}", ""),
    ],
)
def test_a_random_value_under_a_telling_name_is_found_whole(form: str, path: str) -> None:
    value = made(5)
    assert values(f"# header\n{form.format(value)}\n", path) == [value]


@pytest.mark.parametrize(
    "line",
    [
        'password = os.environ["DB_PASSWORD"]',
        "password: ${DB_PASSWORD}",
        "password = get_password(user)",
        'password = "<your password>"',
        'token_url = "https://login.invalid/oauth/token"',
        'key = "user_name"',
        "def login(password: str) -> None:",
        'label_password = "Please enter your password"',
        "secretName: database-credentials",
        "if password != confirm_password:",
        "primary_key=True, autoincrement=True",
        'msgid "password"',
        "api: v1",
        'auth_type = "basic"',
        "passwordHash := sha256.Sum256(data)",
    ],
)
def test_references_placeholders_and_plain_words_are_left_alone(line: str) -> None:
    assert values(f"first\n{line}\nlast\n", "src/app.py") == []


def cassette(number: int) -> dict[str, object]:
    word = made(number, 32, digits + "abcdef")
    return {
        "request": {"method": "GET", "uri": f"https://api.invalid/items/{number}", "body": ""},
        "response": {
            "headers": {"ETag": f'W/"{word}"', "X-Request-Id": made(number + 1, 32, digits + "abcdef"), "x-amz-id-2": made(number + 2, 40), "Digest": f"sha256={word}"},
            "body": {"id": made(number + 3, 22), "key": f"item-{number}", "session_id": number, "cursor": made(number + 4, 24), "commit": {"sha": made(number + 5, 40, digits + "abcdef")}},
        },
    }  # fmt: skip


def test_the_random_ids_of_recorded_calls_are_left_alone() -> None:
    recorded = json.dumps({"http_interactions": [cassette(number) for number in range(0, 900, 10)]}, indent=1)
    assert len(values(recorded, "tests/cassettes/items.json")) <= 1


def test_hashes_in_a_lock_file_are_left_alone() -> None:
    lines = [f'    "node_modules/p{number}": {{"version": "1.{number}.0", "integrity": "sha512-{made(number, 86)}==", "resolved": "https://registry.invalid/p{number}.tgz"}},' for number in range(80)]  # fmt: skip
    assert values("{\n" + "\n".join(lines) + "\n}\n", "package-lock.json") == []


def test_a_hit_says_what_it_is_and_never_its_value() -> None:
    value = made(5)
    [hit] = hits(f'db_password = "{value}"')
    assert (hit.rule, hit.data_class) == ("keyword.password", "secret.password")
    assert MASKING <= hit.confidence < CERTAIN
    assert value not in hit.note
    [other] = hits(f'client_secret = "{value * 2}"')
    assert (other.rule, other.data_class) == ("keyword.secret", "secret.generic")


def test_the_surest_hits_reach_the_upper_border() -> None:
    assert max(hit.confidence for hit in hits(f'db_password = "{made(5, 16)}"\n', "config/settings.py")) >= BLOCKING


def test_hits_below_the_asked_confidence_are_not_reported() -> None:
    text = "".join(f'password{number} = "{made(number, 4 + number)}"\n' for number in range(12))
    view = View(text)
    counts = []
    for least in (0.0, MASKING, BLOCKING):
        detector = keyword_detector(least=least)
        found = list(detector.detect(view, Block(text), MATCHER.matches(view)["keyword"]))
        assert all(hit.confidence >= least for hit in found)
        counts.append(len(found))
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[-1]


def test_only_a_files_path_is_read() -> None:
    text = f'token = "{made(9, 20)}"\n'
    assert hits(text, "/messages/3/content", "user") == hits(text, "/fixtures/cassettes/test.py", "user")


def test_a_clients_own_session_ids_are_left_alone_where_no_model_reads_them() -> None:
    ids = [str(UUID(int=Random(seed).getrandbits(128), version=4)) for seed in range(200)]
    texts = [json.dumps({"device_id": "", "session_id": each}) for each in ids]
    assert any(hits(text, source="user") for text in texts)
    assert not any(hits(text, source="metadata") for text in texts)
    told = f'{{"password": "{made(4)}"}}'
    assert hits(told, source="metadata") == hits(told, source="user") != []


def test_both_engines_lead_to_the_same_hits() -> None:
    text = "\n".join(
        form.format(made(number, 16))
        for number, form in enumerate(
            (
                'password = "{}"',
                "token: {}",
                "{{'secret': '{}'}}",
                "密钥={}",
                "curl -u bob:{} x",
                "x = '{}'",
                "PASSWORD {}",
            )
        )
    )
    view, block = View(text), Block(text)
    native = list(DETECTOR.detect(view, block, MATCHER.matches(view).get("keyword", {})))
    assert native == list(DETECTOR.detect(view, block, RE2.matches(view).get("keyword", {})))
    assert native


def test_a_value_met_under_two_keys_is_one_hit() -> None:
    [hit] = hits(f'auth_token_secret = "{made(5, 24)}"')
    assert hit.end - hit.start == 24


def test_text_that_no_pattern_was_made_for_is_read_without_an_error() -> None:
    for text in ('password="', "password='\\", "key: \\\n", "pwd=\ud800\udfff", "token:\u202e x", "secret=" + "\\" * 5000, "auth(" * 500, "basic \t", "--token"):  # fmt: skip
        hits(text)


def test_more_values_than_can_be_judged_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector, "JUDGED_MAX", 2)
    lines = [f'password = "x9Kd83k{number}HqzP4"' for number in range(3)]
    assert len(hits("\n".join(lines[:2]))) == 2
    with pytest.raises(GuardLimitError, match="More than 2 values"):
        hits("\n".join(lines))


def test_a_table_that_says_the_same_again_and_again_is_judged_in_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector, "JUDGED_MAX", 200)
    rows = [{"model": f"m-{row}", "max_tokens": 4096, "input_cost_per_token": 3e-07} for row in range(2_000)]
    secret = made(5)
    text = json.dumps([*rows, {"model": "m", "password": secret}], indent=1)
    assert secret in values(text, "prices.json")
