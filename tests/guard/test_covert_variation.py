"""A client whose marks depend on where it runs is found; honest ones, however random, are not."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from mohist.guard import Block, GuardDataError
from mohist.guard.covert import Bounds, Suspicion, Variation
from mohist.guard.covert.template import difference, lines

SEED = 20261123
GOLDEN = Path(__file__).with_name("data") / "variation-1.json"
FOUND_WITHIN_SESSIONS = 60
"""Of six askers in turn; the promise of docs/guard.md."""


@dataclass(frozen=True)
class Place:
    """Where a made-up client runs."""

    asker: str
    zone: str
    host: str
    user: str
    locale: str


PLACES = (
    Place("a1", "Asia/Shanghai", "api.first.example", "wang", "zh_CN"),
    Place("a2", "Europe/Berlin", "api.other.example", "meier", "de_DE"),
    Place("a3", "Asia/Shanghai", "api.other.example", "li", "zh_CN"),
    Place("a4", "America/Denver", "api.other.example", "smith", "en_US"),
    Place("a5", "Asia/Urumqi", "proxy.first.example", "zhao", "zh_CN"),
    Place("a6", "Europe/Paris", "api.other.example", "petit", "fr_FR"),
)

Client = Callable[[Place, random.Random], str]
BODY = "\n".join(
    f"- Rule {at}: don't touch what wasn't asked for, it's the user's own ({at} of 40)." for at in range(40)
)


def open_part(place: Place, draw: random.Random) -> str:
    """What any client says openly of where it runs."""
    return (
        f"Working directory: /home/{place.user}/src/project{draw.randrange(5)}\nPlatform: linux\nUser: {place.user}\n"
        f"Today's date: 2026-{draw.randrange(1, 13):02d}-{draw.randrange(1, 29):02d}\nLocale: {place.locale}\n"
        f"Session: {uuid.UUID(int=draw.getrandbits(128))}\n"
    )


def marking(place: Place, draw: random.Random) -> str:
    """The published mechanism: the zone chooses the date's separator, zone and host the apostrophe of one word."""
    near = place.zone.startswith("Asia/")
    apostrophe = ["'", "\u2019", "\u02bc", "\u02b9"][2 * near + ("first" in place.host)]
    separator = "/" if near else "-"
    day = separator.join(("2026", f"{draw.randrange(1, 13):02d}", f"{draw.randrange(1, 29):02d}"))
    return f"You{apostrophe}re an assistant.\n{BODY}\nToday is {day}.\n{open_part(place, draw)}"


def hidden(place: Place, draw: random.Random) -> str:
    return (
        f"Be concise{chr(0x200B) if place.zone.startswith('Asia/') else ''} and kind.\n{BODY}\n{open_part(place, draw)}"
    )


def doubled(place: Place, draw: random.Random) -> str:
    return f"Be concise.{'  ' if 'first' in place.host else ' '}Be kind.\n{BODY}\n{open_part(place, draw)}"


def cased(place: Place, draw: random.Random) -> str:
    return f"{'Never' if place.locale == 'zh_CN' else 'never'} guess.\n{BODY}\n{open_part(place, draw)}"


def swapped(place: Place, draw: random.Random) -> str:
    return f"Keep the {'с' if place.locale == 'zh_CN' else 'c'}ode small.\n{BODY}\n{open_part(place, draw)}"


def watch(client: Client, sessions: int, *, seed: int = SEED, places: Sequence[Place] = PLACES) -> Variation:
    draw, watched = random.Random(seed), Variation()
    for at in range(sessions):
        place = places[at % len(places)]
        block = Block(client(place, draw), "system", "/system/0/text")
        watched.observe("made-up", "1.0.0", place.asker, f"s{at}", [block])
    return watched


def found(client: Client, sessions: int = FOUND_WITHIN_SESSIONS) -> list[Suspicion]:
    return watch(client, sessions).suspicions()


def test_the_published_mechanism_is_found_within_the_promised_sessions() -> None:
    suspicions = found(marking)
    characters = " ".join(suspicion.characters for suspicion in suspicions)
    assert len(suspicions) == 2
    assert "U+002F" in characters
    assert "U+002D" in characters
    assert "U+02B9" in characters or "U+02BC" in characters or "U+2019" in characters
    assert {(one.client, one.version, one.place) for one in suspicions} == {("made-up", "1.0.0", "system system/text")}


@pytest.mark.parametrize("client", [hidden, doubled, cased, swapped])
def test_other_choices_by_place_are_found(client: Client) -> None:
    (suspicion,) = found(client)
    assert suspicion.ways == 2
    assert suspicion.characters


def honest_plain(place: Place, draw: random.Random) -> str:
    return f"You're an assistant.\n{BODY}\n{open_part(place, draw)}"


def honest_tips(place: Place, draw: random.Random) -> str:
    tip = draw.choice(["Tip: don't rush.", "Tip: it's fine to ask.", "Tip: that's all."])
    return f"{honest_plain(place, draw)}{tip}\n"


def honest_coin(place: Place, draw: random.Random) -> str:
    return honest_plain(place, draw).replace("You're", draw.choice(["You're", "You\u2019re"]))


def honest_rare_coin(place: Place, draw: random.Random) -> str:
    return honest_plain(place, draw).replace("You're", "You\u2019re" if draw.random() < 0.1 else "You're")


def honest_experiment(place: Place, draw: random.Random) -> str:
    wording = "Answer in short." if hash_of(place.user) % 2 else "Keep answers short."
    return f"{honest_plain(place, draw)}{wording}\n"


def honest_language(place: Place, draw: random.Random) -> str:
    return {"zh_CN": "请简短回答，不要“猜测”。", "fr_FR": "Réponds « brièvement »."}.get(
        place.locale, "Answer briefly, don't guess."
    ) + f"\n{open_part(place, draw)}"


def honest_notes(place: Place, draw: random.Random) -> str:
    notes = {
        "meier": "Bitte \u201eDu\u201c sagen \u2013 danke",
        "petit": "C\u2019est l\u2019usage ici",
        "smith": "Don\u2019t use tabs",
    }
    return f"{honest_plain(place, draw)}{notes.get(place.user, '')}\n"


def honest_shuffle(place: Place, draw: random.Random) -> str:
    rows = BODY.splitlines()
    draw.shuffle(rows)
    return "\n".join(rows) + open_part(place, draw)


def honest_platform(place: Place, draw: random.Random) -> str:
    windows = place.user in ("smith", "li")
    folder = f"C:\\Users\\{place.user}\\src" if windows else f"/home/{place.user}/src"
    text = f"You're an assistant.\n{BODY}\nShell: {'powershell' if windows else 'bash'}\nFolder: {folder}\nTime: {draw.randrange(24)}:{draw.randrange(60):02d}\n"
    return text.replace("\n", "\r\n") if windows else text


def honest_noise(place: Place, draw: random.Random) -> str:
    return f"{honest_plain(place, draw)}Build {draw.getrandbits(64):016x}, {draw.random():.3f} s, {draw.randrange(10**6):,} files, nonce {draw.getrandbits(32)}\n"


def hash_of(text: str) -> int:
    return sum(map(ord, text))


HONEST = (honest_plain, honest_tips, honest_coin, honest_rare_coin, honest_experiment, honest_language, honest_notes, honest_shuffle, honest_platform, honest_noise)  # fmt: skip


@pytest.mark.parametrize("client", HONEST)
def test_ten_honest_clients_are_not_accused(client: Client) -> None:
    for seed in range(4):
        for sessions in (12, FOUND_WITHIN_SESSIONS, 200):
            assert watch(client, sessions, seed=seed).suspicions() == []


def test_too_few_sessions_prove_nothing() -> None:
    """Each asker has always written it one way, and yet that may be chance."""
    assert watch(marking, 24).suspicions() == []


def test_a_habit_that_is_often_broken_is_not_reported() -> None:
    def leaning(place: Place, draw: random.Random) -> str:
        curly = draw.random() < (0.8 if place.zone.startswith("Asia/") else 0.2)
        return honest_plain(place, draw).replace("You're", "You\u2019re" if curly else "You're")

    assert watch(leaning, 600).suspicions() == []


def test_the_more_lines_are_watched_the_surer_each_must_be() -> None:
    def short(place: Place, draw: random.Random) -> str:
        return marking(place, draw).replace(BODY, "")

    def fewest(client: Client) -> int:
        return next(sessions for sessions in range(6, 90) if watch(client, sessions).suspicions())

    assert fewest(short) < fewest(marking)


def test_one_asker_alone_proves_nothing() -> None:
    assert watch(marking, 200, places=PLACES[:1]).suspicions() == []


def test_a_session_counts_once() -> None:
    watched = Variation()
    block = Block("Be kind.", "system", "/system")
    assert watched.observe("c", "1", "a", "s", [block])
    assert not watched.observe("c", "1", "a", "s", [block])


def test_what_people_wrote_is_not_watched() -> None:
    draw, watched = random.Random(SEED), Variation()
    for at in range(120):
        place = PLACES[at % len(PLACES)]
        watched.observe("c", "1", place.asker, f"s{at}", [Block(marking(place, draw), "user", "/messages/0")])
    assert watched.suspicions() == []


def test_versions_are_apart() -> None:
    draw, watched = random.Random(SEED), Variation()
    for at in range(120):
        place = PLACES[at % len(PLACES)]
        # The newer version writes another apostrophe, and three people have not updated yet.
        newer = place.asker in ("a1", "a2", "a3")
        text = honest_plain(place, draw).replace("You're", "You\u2019re" if newer else "You're")
        watched.observe("c", "2" if newer else "1", place.asker, f"s{at}", [Block(text, "system", "/system")])
    assert watched.suspicions() == []


def test_what_was_observed_survives_being_kept() -> None:
    half = watch(marking, FOUND_WITHIN_SESSIONS)
    again = Variation.from_bytes(half.to_bytes())
    assert again.suspicions() == half.suspicions()
    assert again.to_bytes() == half.to_bytes()


def test_no_words_and_no_askers_are_kept_in_clear() -> None:
    kept = watch(marking, 12).to_bytes().decode("utf-8")
    assert not [word for word in ("assistant", "touch", "wang", "project", "2026") if word in kept]


def test_a_watch_of_this_format_is_read_for_ever() -> None:
    """The golden file holds twelve sessions of `marking`; where it would be written otherwise, `FORMAT` must change."""
    assert watch(marking, 12).to_bytes() == GOLDEN.read_bytes()
    assert Variation.from_bytes(GOLDEN.read_bytes()).to_bytes() == GOLDEN.read_bytes()


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"format": 2, "clients": [], "sessions": []}', b'{"format": 1, "clients": [1], "sessions": []}', b"\xff"])  # fmt: skip
def test_a_damaged_watch_is_refused(content: bytes) -> None:
    with pytest.raises(GuardDataError):
        Variation.from_bytes(content)


def test_all_that_is_kept_has_a_bound() -> None:
    draw = random.Random(SEED)
    watched = Variation(Bounds(clients=2, lines=50, ways=2, askers=3, sessions=10, rows=5))
    for at in range(200):
        text = "\n".join(
            f"{word} {draw.choice('abcdefgh')}{draw.choice(chr(39) + chr(0x2019))}s" for word in "xyz" * 30
        )
        watched.observe(f"c{at % 5}", "1", f"a{at}", f"s{at}", [Block(text, "system", "/system")])
    assert len(watched.to_bytes()) < 20_000


def test_a_line_is_the_same_however_it_is_written() -> None:
    (one,), (other,) = lines("You\u2019re  here, 2026/11/23 9:05"), lines("you're here, 2025-01-02 8:10")
    assert one.said == other.said
    assert one.written != other.written
    assert lines("12345 --- 678") == []


@pytest.mark.parametrize(
    ("one", "other", "named"),
    [
        ("'..", "\u2019..", "U+0027 / U+2019"),
        ("..", ".\u200b.", "only in one: U+200B"),
        ("..", "..", "letter case or single blanks"),
    ],
)
def test_a_difference_is_named_by_code_points(one: str, other: str, named: str) -> None:
    assert difference(one, other) == named
