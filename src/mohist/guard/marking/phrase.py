"""Classification markings where markings stand: alone on a line, at the head or foot, or after "classification:"."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from mohist.base import sha256_hex
from mohist.guard.block import Block
from mohist.guard.detector import Hit, Match, Pattern
from mohist.guard.errors import GuardRuleError
from mohist.guard.view import View

VERSION = "1"
"""Raise it with every change of what is found."""
SECRET, CONFIDENTIAL, INTERNAL = "document.secret", "document.confidential", "document.internal"

# FIRST TLP 2.0 (2022); GB/T 33476-2016 and the Law on Guarding State Secrets (绝密, 机密, 秘密, with a star and a term);
# SASAC's rules on business secrets of central enterprises (核心商密, 普通商密); the usual words of companies.
MARKINGS: Mapping[str, str] = {
    "TLP:RED": SECRET,
    "TLP:AMBER+STRICT": CONFIDENTIAL,
    "TLP:AMBER": CONFIDENTIAL,
    "TOP SECRET": SECRET,
    "STRICTLY CONFIDENTIAL": SECRET,
    "HIGHLY CONFIDENTIAL": SECRET,
    "COMPANY CONFIDENTIAL": CONFIDENTIAL,
    "PROPRIETARY AND CONFIDENTIAL": CONFIDENTIAL,
    "CONFIDENTIAL AND PROPRIETARY": CONFIDENTIAL,
    "CONFIDENTIAL": CONFIDENTIAL,
    "TRADE SECRET": CONFIDENTIAL,
    "DO NOT DISTRIBUTE": CONFIDENTIAL,
    "NOT FOR DISTRIBUTION": CONFIDENTIAL,
    "RESTRICTED DISTRIBUTION": CONFIDENTIAL,
    "FOR INTERNAL USE ONLY": INTERNAL,
    "INTERNAL USE ONLY": INTERNAL,
    "INTERNAL ONLY": INTERNAL,
    "绝密": SECRET,
    "机密": SECRET,
    "秘密": CONFIDENTIAL,
    "核心商密": SECRET,
    "普通商密": CONFIDENTIAL,
    "商业秘密": CONFIDENTIAL,
    "严禁外传": CONFIDENTIAL,
    "注意保密": CONFIDENTIAL,
    "内部资料": INTERNAL,
    "内部文件": INTERNAL,
    "内部使用": INTERNAL,
    "仅供内部使用": INTERNAL,
}

EDGE_LINES = 8
"""Lines with text at the head of a document that count as its header, and at its foot as its footer."""
LINE_MAX_CHARS = 240
_LABEL_SURE = 0.97
_LABELLED = re.compile(
    r"(?:classification|classified|sensitivity|security level|security class|confidentiality|marking|data class|密级|保密级别|保密等级|保密级|密别|文件密级|安全级别|安全等级)"
    r"\W{0,3}(?:is|为|[:：=|])\W{0,4}$",
    re.IGNORECASE,
)
# A source file's notice: "… is proprietary and confidential", "Unauthorized copying of this file".
_NOTICE = re.compile(r"unauthori[sz]ed (?:copying|use|distribution|reproduction)|do not (?:copy|distribute|share)|property of|all rights reserved|trade secrets?\b", re.I)  # fmt: skip
# What else may stand on the line of a marking: page numbers, years, terms, signs of comments and of layout, a few words in capitals.
_BESIDE = re.compile(r"page|of|the|all rights reserved|copyright|\(c\)|and|not|for|use|only|第|共|页|长期|年|月|期|copy|draft|inc|ltd|llc|corp|co|gmbh|ag|公司|有限|股份|集团|级|件|编号|no|rev|version|v|material|document|information|文件|资料|注意|保存", re.I)  # fmt: skip
_WORD = re.compile(r"[A-Za-z]+|[一-鿿]+")
_SETS_APART = frozenset(" \t\r【】[]（）()★☆|·•-—_*#/:：「」『』")
BESIDE_WORDS = 4
BESIDE_HAN_CHARS = 12
_ASSIGNED = re.compile(r"[=;{}<>`$]|\w\(|\w\.\w+\(|^\s*[\"']|[\"']\s*,?\s*$|\bimport\b|\breturn\b|\bclass\b|\bdef\b")


class MarkingDetector:
    """Finds markings by the shape of their line.

    Args:
        markings: text -> data class; what is of Latin letters counts as it is written (capitals) or, after "classification:", in
            any case.
    """

    def __init__(self, markings: Mapping[str, str]) -> None:
        for text, data_class in markings.items():
            if len(text.strip()) < 2 or "\n" in text or not data_class:
                raise GuardRuleError(
                    f"The marking {text!r} can't be taken.",
                    "A marking has two characters or more on one line, and a data class.",
                )
        self._classes = {_key(text): data_class for text, data_class in markings.items()}
        named = "\n".join(f"{key}\t{data_class}" for key, data_class in sorted(self._classes.items()))
        # Asked for at each call, so made once.
        self._version = f"{VERSION}.{sha256_hex(named.encode('utf-8'))[:12]}"
        longest_first = sorted(markings, key=len, reverse=True)
        self._any = re.compile("|".join(_spelled(text) for text in longest_first), re.IGNORECASE)
        self._patterns = tuple(
            Pattern(
                f"marking-{at}",
                _spelled(text),
                ignore_case=text.isascii(),
                width_bytes=4 * len(text.encode("utf-8")) + 16,
            )
            for at, text in enumerate(longest_first)
        )

    @property
    def name(self) -> str:
        return "marking"

    @property
    def version(self) -> str:
        return self._version

    @property
    def patterns(self) -> Sequence[Pattern]:
        return self._patterns

    def detect(self, view: View, block: Block, matches: Mapping[str, Sequence[Match]]) -> Iterable[Hit]:  # noqa: ARG002
        """See `Detector.detect`. One hit for each marked line; the strictest data class comes from the longest marking."""
        text = view.text
        places = sorted({(match.start, match.end) for found in matches.values() for match in found}, key=lambda place: (place[0], -place[1]))  # fmt: skip
        head, foot = _edges(text)
        lines: dict[int, list[tuple[int, int]]] = {}
        done = -1
        for start, end in places:
            if start < done:  # a part of the longer marking before it
                continue
            done = end
            lines.setdefault(text.rfind("\n", 0, start) + 1, []).append((start, end))
        marked = [
            (first, found, sure) for first, found in lines.items() if (sure := self._sure(text, first, found)) > 0
        ]
        repeated = len({text[found[0][0] : found[0][1]] for _, found, _ in marked}) < len(marked)
        for first, found, sure in marked:
            start, end = found[0]
            at_edge = first <= head or first >= foot
            confidence = sure if at_edge or sure == _LABEL_SURE else min(sure, 0.75) if repeated else min(sure, 0.55)
            data_class = self._classes[_key(text[start:end])]
            where = "at the head or foot" if at_edge else "on a line of its own"
            yield Hit(
                "marking." + data_class.rpartition(".")[2], data_class, start, end, confidence, f"a marking {where}"
            )

    def _sure(self, text: str, first: int, found: Sequence[tuple[int, int]]) -> float:
        """How much a line looks like one that marks; 0: it is prose or code."""
        stop = text.find("\n", found[-1][1])
        line = text[first : stop if stop >= 0 else len(text)]
        start, end = found[0]
        if len(line) > LINE_MAX_CHARS:
            return 0.0
        written = text[start:end]
        before, after = line[: start - first], line[end - first :]
        if _touches(before[-1:]) or _touches(after[:1]):
            return 0.0
        if _LABELLED.search(before) and len(_WORD.findall(after)) <= BESIDE_WORDS:
            return _LABEL_SURE
        notice = bool(_NOTICE.search(text, max(first - 300, 0), first + len(line) + 300))
        if notice and _key(written) in (
            "PROPRIETARY AND CONFIDENTIAL",
            "CONFIDENTIAL AND PROPRIETARY",
            "STRICTLY CONFIDENTIAL",
        ):
            return 0.85
        if written.isascii() and written != written.upper():
            return 0.0
        if _ASSIGNED.search(line):
            return 0.0
        rest = self._any.sub(" ", line)
        words = [word for word in _WORD.findall(rest) if not _BESIDE.fullmatch(word)]
        latin = [word for word in words if word.isascii()]
        han = sum(len(word) for word in words if not word.isascii())
        if len(latin) > BESIDE_WORDS or han > BESIDE_HAN_CHARS or (latin and any(word.islower() for word in latin)):
            return 0.0
        apart = all(not edge or edge in _SETS_APART for edge in (before[-1:], after[:1]))
        if han and not written.isascii() and not apart:
            return 0.0
        return _LABEL_SURE if _starred(after) else 0.95 if len(written) > 5 else 0.85


def _starred(after: str) -> bool:
    """机密★10年: the form of state organs."""
    return bool(re.match(r"\s*[★☆]", after))


def _touches(character: str) -> bool:
    return bool(character) and (character == "_" or (character.isascii() and character.isalnum()))


def _edges(text: str) -> tuple[int, int]:
    """Where the header's last line begins, and the footer's first."""
    at = head = 0
    for _ in range(EDGE_LINES):
        head = at
        at = text.find("\n", at) + 1
        while at and text[at : at + 1] == "\n":
            at += 1
        if not at:
            break
    foot = len(text)
    for _ in range(EDGE_LINES):
        foot = max(text.rfind("\n", 0, max(foot - 1, 0)), 0)
    return head, foot


def _key(text: str) -> str:
    """As a marking is looked up: capitals, single blanks."""
    return re.sub(r"\s+", " ", re.sub(r"\s*:\s*", ":", text.strip())).upper()


def _spelled(text: str) -> str:
    """As an expression: any blanks between the words, and around a colon."""
    words = [re.escape(word).replace(r"\:", ":") for word in text.split()]
    return r"[ \t]{1,3}".join(words).replace(":", r"[ \t]?:[ \t]?")


def marking_detector(*, own: Mapping[str, str] | None = None, without: Iterable[str] = ()) -> MarkingDetector:
    """The detector with the usual markings and a company's own.

    Args:
        own: text -> data class ("ACME BLUE" -> "document.confidential"); takes precedence over a usual one.
        without: usual markings to leave out.

    Raises:
        GuardRuleError: a marking is empty or goes over lines.
    """
    left_out = {_key(text) for text in without}
    usual = {text: data_class for text, data_class in MARKINGS.items() if _key(text) not in left_out}
    return MarkingDetector({**usual, **(own or {})})
