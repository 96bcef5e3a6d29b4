"""What of a run differs from the reference run, feature by feature, with what varies by itself told apart.

A feature is a place in a request (or the presence of a request, or a host that was tried). Where repeats under the same
values differ by themselves, the place is noise; of what stands there only some marks are looked at that repeats agree on: how long it is, of what
kind its characters are, and each single character.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from mohist.vet.difference.edit import Edit, counterpart, edits
from mohist.vet.difference.fact import Facts
from mohist.vet.difference.part import Part
from mohist.vet.difference.trial import Trial

_MARKED_CHARS = 64
"""Of a noisy place; what is longer has marks for its length and kind alone."""
_ABSENT = "\ue002absent"
_LIST_KINDS = ("names", "keys", "order")


class FeatureId(NamedTuple):
    """Where to look."""

    label: str
    where: str
    slot: str
    """"3-5": tokens of the reference's text; "whole"; "there"; "noise 3-5 length"."""


@dataclass(frozen=True, slots=True)
class Deviation:
    """What stands at a feature in place of what the reference has."""

    old: str
    new: str
    kind: str
    """Of the part, or "there" for presence, "mark" for a mark of a noisy place, "host"."""
    offset: int = -1
    """Where the part begins, in characters of the new body's text."""
    within: int = 0
    """And how far in it `new` begins, in characters of what the part says."""
    context: str = ""
    old_context: str = ""


@dataclass(slots=True)
class _Place:
    tokens: list[str]
    noise: list[tuple[int, int]] = field(default_factory=list)
    marks: dict[str, str] = field(default_factory=dict)


class Reference:
    """One run to which all others are compared, and what repeats of it say of its noise.

    Args:
        repeats: runs under the same values; the first becomes the reference.
    """

    def __init__(self, repeats: Sequence[Trial]) -> None:
        self.trial = _typical(repeats)
        self._places = {
            (label, where): _Place(_split(part, self.trial.facts))
            for label, parts in self.trial.parts.items()
            for where, part in parts.items()
        }
        self.noisy: set[FeatureId] = set()
        others = [repeat for repeat in repeats if repeat is not self.trial]
        for repeat in others:
            self._learn(repeat)
        self._mark(repeats)

    def deviations(self, trial: Trial) -> dict[FeatureId, Deviation]:
        """Every feature in which a run differs, but for noise."""
        found: dict[FeatureId, Deviation] = {}
        for host in trial.reached ^ self.trial.reached:
            there = host in trial.reached
            found[FeatureId("", f"reaches {host}", "there")] = _presence(there, host, "host")
        for label in {*trial.parts, *self.trial.parts}:
            ours, theirs = self.trial.parts.get(label), trial.parts.get(label)
            if ours is None or theirs is None:
                found[FeatureId(label, "request", "there")] = _presence(theirs is not None, label, "there")
                continue
            self._compare(label, theirs, trial.facts, found)
        return {feature: deviation for feature, deviation in found.items() if feature not in self.noisy}

    def _compare(self, label: str, theirs: Mapping[str, Part], facts: Facts, found: dict[FeatureId, Deviation]) -> None:
        ours = self.trial.parts[label]
        for where in {*ours, *theirs}:
            old, new = ours.get(where), theirs.get(where)
            if old is None or new is None:
                part = old or new
                if part is not None and part.kind != "escape":
                    found[FeatureId(label, where, "there")] = _presence(new is not None, part.text, "there")
                continue
            place = self._places[label, where]
            if old.text == new.text and not place.marks:
                continue
            changed = edits(place.tokens, _split(new, facts)) if old.text != new.text else []
            if not place.noise and old.kind in _LIST_KINDS and changed:
                found[FeatureId(label, where, "whole")] = Deviation(old.text, new.text, old.kind, new.offset)
                continue
            for edit in changed:
                if not _within(edit, place.noise):
                    feature = FeatureId(label, where, f"{edit.start}-{edit.end}")
                    found[feature] = _deviation(edit, old, new, place.tokens)
            for mark, value in self._marks(place, changed).items():
                if mark in place.marks and place.marks[mark] != value:
                    start, end = (int(number) for number in mark.split(" ")[1].split("-"))
                    found[FeatureId(label, where, mark)] = Deviation(
                        place.marks[mark],
                        value,
                        "mark",
                        new.offset,
                        context=counterpart(place.tokens, changed, start, end),
                        old_context="".join(place.tokens[start:end]),
                    )

    def _learn(self, repeat: Trial) -> None:
        for feature, deviation in self.deviations(repeat).items():
            self.noisy.add(feature)
            place = self._places.get((feature.label, feature.where))
            if place is None or deviation.kind in ("there", "mark"):
                continue
            if feature.slot == "whole":
                place.noise = [(0, len(place.tokens))]
            else:
                start, _, end = feature.slot.partition("-")
                place.noise = _merged([*place.noise, (int(start), int(end))])

    def _mark(self, repeats: Sequence[Trial]) -> None:
        for (label, where), place in self._places.items():
            if not place.noise:
                continue
            seen: list[dict[str, str]] = []
            for repeat in repeats:
                part = repeat.parts.get(label, {}).get(where)
                if part is not None:
                    seen.append(self._marks(place, edits(place.tokens, _split(part, repeat.facts))))
            steady = (
                set(seen[0].items()).intersection(*(set(one.items()) for one in seen[1:])) if len(seen) > 1 else set()
            )
            place.marks = dict(steady)

    @staticmethod
    def _marks(place: _Place, changed: Sequence[Edit]) -> dict[str, str]:
        made: dict[str, str] = {}
        for start, end in place.noise:
            text = counterpart(place.tokens, changed, start, end)
            name = f"noise {start}-{end}"
            made[f"{name} length"] = str(len(text))
            made[f"{name} kinds"] = _kinds(text)
            if "\n" in text:
                lines = text.split("\n")
                made |= {f"{name} first": lines[0], f"{name} last": lines[-1], f"{name} set": "\n".join(sorted(lines))}
            elif len(text) <= _MARKED_CHARS:
                made |= {f"{name} character {index + 1} of {len(text)}": sign for index, sign in enumerate(text)}
        return made


def _typical(repeats: Sequence[Trial]) -> Trial:
    """The first of those that made the requests that most of them made."""
    counts: dict[tuple[str, ...], int] = {}
    for repeat in repeats:
        counts[repeat.labels] = counts.get(repeat.labels, 0) + 1
    most = max(counts.values())
    return next(repeat for repeat in repeats if counts[repeat.labels] == most)


def _split(part: Part, facts: Facts) -> list[str]:
    if part.kind in _LIST_KINDS:
        return part.text.splitlines(keepends=True)
    return facts.tokens(part.text)


def _within(edit: Edit, noise: Sequence[tuple[int, int]]) -> bool:
    if edit.start == edit.end:  # beside noise, something put in is no part of it
        return any(start < edit.start < end or start == edit.start == end for start, end in noise)
    return any(start <= edit.start and edit.end <= end for start, end in noise)


def _merged(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    made: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if made and start <= made[-1][1]:
            made[-1] = (made[-1][0], max(made[-1][1], end))
        else:
            made.append((start, end))
    return made


def _presence(there: bool, text: str, kind: str) -> Deviation:
    return Deviation("", text, kind) if there else Deviation(text, "", kind)


def _deviation(edit: Edit, old: Part, new: Part, parts: Sequence[str]) -> Deviation:
    old_at = sum(map(len, parts[: edit.start]))
    return Deviation(
        edit.old,
        edit.new,
        old.kind,
        new.offset,
        edit.new_at,
        _around(new.text, edit.new_at, edit.new_at + len(edit.new)),
        _around(old.text, old_at, old_at + len(edit.old)),
    )


def _around(text: str, start: int, end: int, chars: int = 24) -> str:
    return text[max(start - chars, 0) : end + chars]


def _kinds(text: str) -> str:
    """Of which kinds of characters it is made."""
    kinds = (
        ("digits", r"[0-9]"),
        ("lower", r"[a-z]"),
        ("upper", r"[A-Z]"),
        ("space", r"\s"),
        ("other", r"[^0-9a-zA-Z\s]"),
    )
    return " ".join(name for name, pattern in kinds if re.search(pattern, text))
