"""What was true of a run, in the words in which a subject might say it openly."""

from __future__ import annotations

import base64
import codecs
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cached_property
from urllib.parse import quote
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from mohist.vet.difference.edit import tokens, words
from mohist.vet.difference.factor import FactorName

_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
_MARGIN_S = 120
"""Around a run, for what a subject computed a little earlier or rounds."""
_LEAST_CODED_CHARS = 8
_LEAST_WORD_CHARS = 2
_SAID = re.compile("\ue000[^\ue001]*\ue001")


@dataclass(frozen=True)
class Facts:
    """Not slotted: what is derived is kept.

    Args:
        words: what the run's values are called, each with the factor it tells of: ("Asia/Shanghai", "zone").
        zone: IANA name of the time zone that the subject saw.
        started_s: Unix time that the subject saw when it started.
        ended_s: and when it ended.
    """

    words: tuple[tuple[str, FactorName], ...]
    zone: str
    started_s: float
    ended_s: float
    shown: dict[FactorName, str] = field(default_factory=dict)
    """Each factor's value as the report writes it."""

    def tokens(self, text: str) -> list[str]:
        """As `edit.tokens`, with each of this run's facts in one piece."""
        found: list[str] = []
        at = 0
        for fact in self._pattern.finditer(text):
            found += [*tokens(text[at : fact.start()]), fact[0]]
            at = fact.end()
        return found + tokens(text[at:])

    def plain(self, text: str) -> str:
        """`text` with every fact that it states openly replaced by the name of that fact, its form kept."""
        pieces: list[str] = []
        at = 0
        for fact in self._pattern.finditer(text):
            pieces += [self._clocked(text[at : fact.start()]), _say(self._factor_of[fact[0]], "")]
            at = fact.end()
        return "".join([*pieces, self._clocked(text[at:])])

    def stated(self, text: str) -> set[str]:
        """Which facts it states, by factor; "clock" for parts of a date or time."""
        return {found[0][1:-1].partition(" ")[0] for found in _SAID.finditer(self.plain(text))}

    def coded(self, text: str) -> str:
        """How `text` holds a fact in another form: "base64 of the base URL's host"; empty: it does not, as far as is known."""
        lower = text.lower()
        for word, factor in self._ordered:
            if len(word) < _LEAST_WORD_CHARS + 2:
                continue
            for form, code in _codes(word):
                if len(code) >= _LEAST_CODED_CHARS and (code in text or (form.startswith("hex") and code in lower)):
                    return f"{form} of {factor}"
            for form, digest in _digests(word):
                if any(run in digest for run in re.findall(r"[0-9a-f]{8,}", lower)):
                    return f"{form} of {factor}, whole or in part"
        return ""

    def tells_time(self, token: str) -> bool:
        """Whether a number or id begins with the time of the run: seconds, milliseconds or microseconds, UUIDv7, ULID."""
        low, high = self.started_s - _MARGIN_S, self.ended_s + _MARGIN_S
        values: list[float] = []
        if token.isdigit():
            values = [int(token) / scale for scale in (1, 1e3, 1e6, 1e9)]
        elif re.fullmatch(r"[0-9a-fA-F]{8,}", token):
            values = [int(token[:8], 16), int(token[:12], 16) / 1e3 if len(token) >= 12 else 0]
            values.append(int(token[:8], 16) * 65.536)  # the upper 32 of 48 bits of a UUIDv7's milliseconds
            high += 66
        elif re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{26}", token):
            digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
            values = [sum(digits.index(c) * 32**k for k, c in enumerate(reversed(token[:10]))) / 1e3]
        return any(low <= value <= high for value in values)

    @cached_property
    def _ordered(self) -> list[tuple[str, FactorName]]:
        words = {(word, factor) for word, factor in self.words if len(word) >= _LEAST_WORD_CHARS}
        return sorted(words, key=lambda item: (-len(item[0]), item))

    @cached_property
    def _factor_of(self) -> dict[str, FactorName]:
        return dict(reversed(self._ordered))

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        # Longer ones first, and none within a longer word: "en" is not said by "then".
        return re.compile("|".join(rf"(?<![^\W_]){re.escape(word)}(?![^\W_])" for word, _ in self._ordered) or "(?!)")

    def _clocked(self, text: str) -> str:
        return "".join(self._clock.get(token, token) for token in words(text)) if text else text

    @cached_property
    def _clock(self) -> dict[str, str]:
        """Words and numbers that name the moment, in the run's zone and in UTC, each with its form."""
        named: dict[str, str] = {}
        for moment in self._moments():
            numbers = [moment.month, moment.day, moment.hour, moment.minute, (moment.hour + 11) % 12 + 1]
            for number in numbers:
                # From ten on it can't be seen whether numbers are padded.
                named[f"{number:02d}"] = _say("clock", "padded" if number < 10 else "number")
                named[f"{number}"] = _say("clock", "short" if number < 10 else "number")
            named |= {f"{moment.year}": _say("clock", "year"), f"{moment.year % 100:02d}": _say("clock", "year2")}
            named |= {
                _MONTHS[moment.month - 1]: _say("clock", "month"),
                _MONTHS[moment.month - 1][:3]: _say("clock", "mon"),
            }
            named |= {_DAYS[moment.weekday()]: _say("clock", "day"), _DAYS[moment.weekday()][:3]: _say("clock", "dow")}
        named |= {half: _say("clock", "half") for half in ("AM", "PM", "am", "pm")}
        return named

    def _moments(self) -> Iterable[datetime]:
        step = timedelta(minutes=1)
        for place in (UTC, zone_of(self.zone)):
            now = datetime.fromtimestamp(self.started_s - _MARGIN_S, place)
            end = datetime.fromtimestamp(self.ended_s + _MARGIN_S, place)
            while now <= end:
                yield now
                now += step


def zone_of(name: str) -> tzinfo:
    """The zone, or UTC where this machine does not know it."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def zone_words(name: str, at_s: float) -> list[str]:
    """What a time zone is called: its name, its city, its offset in the usual forms."""
    moment = datetime.fromtimestamp(at_s, zone_of(name))
    offset = moment.utcoffset() or timedelta()
    minutes = int(offset.total_seconds() // 60)
    sign, hours, rest = "-" if minutes < 0 else "+", abs(minutes) // 60, abs(minutes) % 60
    words = [name, name.rpartition("/")[2], name.rpartition("/")[2].replace("_", " "), moment.tzname() or ""]
    words += [f"{sign}{hours:02d}:{rest:02d}", f"{sign}{hours:02d}{rest:02d}"]
    words += [f"{base}{sign}{hours}" for base in ("UTC", "GMT")] + [
        f"{base}{sign}{hours:02d}:{rest:02d}" for base in ("UTC", "GMT")
    ]
    if not minutes:
        words += ["UTC", "GMT", "Z", "Etc/UTC", "Coordinated Universal Time"]
    return [word for word in words if word]


def alike(one: str, other: str) -> bool:
    """Whether two texts, by `Facts.plain`, state the same facts in the same form and are the same otherwise."""
    if one == other:
        return True
    if _SAID.sub("\ue000", one) != _SAID.sub("\ue000", other):
        return False
    return all(_fits(a, b) for a, b in zip(_SAID.findall(one), _SAID.findall(other), strict=True))


def _fits(one: str, other: str) -> bool:
    number = _say("clock", "number")
    numbers = (number, _say("clock", "padded"), _say("clock", "short"))
    return one == other or (number in (one, other) and one in numbers and other in numbers)


def _say(factor: str, form: str) -> str:
    return f"\ue000{factor} {form}\ue001" if form else f"\ue000{factor}\ue001"


def _codes(word: str) -> list[tuple[str, str]]:
    data = word.encode("utf-8")
    codes = [
        ("base64", base64.b64encode(data).decode("ascii").rstrip("=")),
        ("base64 (URL form)", base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")),
        ("hex", data.hex()),
        ("the reverse", word[::-1]),
        ("ROT13", codecs.encode(word, "rot13")),
    ]
    quoted = quote(word, safe="")
    return codes + ([("URL coding", quoted)] if quoted != word else [])


def _digests(word: str) -> list[tuple[str, str]]:
    data = word.encode("utf-8")
    return [
        (name, hashlib.new(name, data, usedforsecurity=False).hexdigest())
        for name in ("md5", "sha1", "sha256", "sha512")
    ]
