"""What a value looks like: its characters, its form, how far it is from words."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from math import log2

from mohist.guard.keyword.word import PLACEHOLDERS, REFERENCES

READ_MAX_CHARS = 96
"""Of a value; what follows says nothing new about its shape."""
_BETWEEN = "\U0010ffff"
"""No character (Unicode 23.7), so hardly ever in a value."""
QUICK_MAX_CHARS = 32
"""The same for the first filter."""
ALPHABET = 38
"""Letters, one sign for digits of each kind, one for all else: what pairs of characters are counted in."""


def _classes() -> dict[int, str]:
    table = dict.fromkeys(range(128), "-")
    for first, last, sign in (("a", "z", "a"), ("A", "Z", "A"), ("0", "9", "0")):
        table.update(dict.fromkeys(range(ord(first), ord(last) + 1), sign))
    table[ord(" ")] = table[ord("\t")] = " "
    return table


_CLASSES = _classes()
# 0 to 25 letters, 26 to 35 digits, 36 all other ASCII, 37 beyond.
PAIR_CODES = bytes(
    byte - 97 if 97 <= byte <= 122 else byte - 65 if 65 <= byte <= 90 else byte - 48 + 26 if 48 <= byte <= 57 else 36 if byte < 128 else 37
    for byte in range(256)
)  # fmt: skip
_RUNS = re.compile(r"(.)(?=\1)", re.DOTALL)
"""All but the last character of each run; taking it out is several times faster than putting one in the place of all."""
_STRETCHES = re.compile(r"a+|A+|0+|[^aA0]+")
WORDS = re.compile(r"[A-Z]?[a-z]{2,}|[A-Z]{3,}")
_FORMS = tuple(
    re.compile(expression)
    for expression in (
        r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\Z",
        r"(?:0x)?[0-9a-fA-F]{16,}\Z",
        r"(?:0x)?(?:[0-9a-fA-F]{32}|[0-9a-fA-F]{40}|[0-9a-fA-F]{64}|[0-9a-fA-F]{128})\Z",
        r"[A-Za-z0-9+/_\-]{12,}={0,2}\Z",
        r"[+\-]?[0-9][0-9_.,]*\Z",
        r"[A-Za-z_]+\Z",
        r"[a-z]+(?:[A-Z][a-z0-9]*)+\Z",
        r"[A-Z][a-z]+(?:[A-Z][a-z0-9]*)+\Z",
        r"[a-z]+(?:[_\-][a-z]+)+\Z",
        r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\Z",
        r"[A-Za-z_$@&*]\w*(?:(?:\.|::|->)\w+)+\Z",
        r"\w+://",
        r"[./~]{0,2}[\w.\-]*(?:/[\w.\-]+){1,}/?\Z",
        r"[^@\s]+@[^@\s]+\.\w+\Z",
        r"[a-z]+[0-9]{1,4}[!@#]?\Z",
        r"[A-Z]+\Z",
        r"[a-z]+\Z",
        r"[A-Z][a-z]+\Z",
        r"(?:SHA|MD5|sha|md5)[0-9]*[:\-]",
        r"\$[0-9a-z]{1,8}\$|pbkdf2|bcrypt|\{[A-Z0-9]+\}",
        r"[A-Za-z]+(?: [A-Za-z,.'\-]+)+[.!?:]?\Z",
        r"\.?[a-z]+\([^)]*\Z|.*\)\Z",
        r"ey[JI]",
        r"-----BEGIN",
        r"v?[0-9]+(?:\.[0-9]+){1,3}[\w\-.+]*\Z",
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}",
        r"(?:true|false|null|none|nil|undefined|yes|no|on|off|string|str|int|bool|any|object|required|optional)\Z",
    )
)
FORM_NAMES = ("uuid", "hex", "hash", "base64", "number", "letters", "camel", "pascal", "kebab", "constant", "dotted", "url", "path", "mail", "word-number", "upper", "lower", "title", "hash-name", "crypt", "sentence", "call", "jwt", "pem", "version", "date", "literal")  # fmt: skip
_SIGNS = ("$", "<", ">", "{", "%", "@", "#", ":", "*", "/", "\\", "(", ")", "[", "=", "+", "&", "?", "!", ".", "-", "_", "|", "~", "^", ",", "'", "\u2026")  # fmt: skip

NAMES = (
    "length", "log_length", "lower", "upper", "digit", "other", "space", "runs", "run_share", "longest_run", "distinct", "entropy", "pair_mean", "pair_rare", "pair_last",
    "word_share", "words", "known_words", "placeholder_strong", "placeholder_weak", "reference", "first_class", "last_class",
    *(f"form:{name}" for name in FORM_NAMES), *(f"sign:{sign}" for sign in _SIGNS),
)  # fmt: skip
_STRONG = tuple(word for word in PLACEHOLDERS if len(word) > 3 or not word.isalpha())
_WEAK = tuple(word for word in PLACEHOLDERS if word not in _STRONG)


class Language:
    """Which words and pairs of characters are usual in code and prose.

    Args:
        words: in lower case.
        pairs: rarity of each pair of characters, in tenths of a bit, row by row over the alphabet.
    """

    def __init__(self, words: frozenset[str], pairs: Sequence[int]) -> None:
        self.words = words
        self.pairs = pairs

    def mean(self, value: str) -> float:
        """Mean rarity of a value's pairs in bits."""
        codes = value.encode("utf-8", "replace").translate(PAIR_CODES)
        if len(codes) < 2:
            return 0.0
        pairs = self.pairs
        return sum([pairs[left * ALPHABET + right] for left, right in itertools.pairwise(codes)]) / (
            10 * (len(codes) - 1)
        )

    def rarity(self, value: str) -> tuple[float, float, float]:
        """Mean rarity of its pairs in bits, the share of rare ones, and that of its last four."""
        codes = value.encode("utf-8", "replace").translate(PAIR_CODES)
        if len(codes) < 2:
            return 0.0, 0.0, 0.0
        pairs = self.pairs
        seen = [pairs[left * ALPHABET + right] for left, right in itertools.pairwise(codes)]
        return (
            sum(seen) / (10 * len(seen)),
            sum([rarity > 90 for rarity in seen]) / len(seen),
            sum(seen[-4:]) / (10 * len(seen[-4:])),
        )


def shape(value: str) -> str:
    """A value's classes of characters, runs made one: "Aa0" for "Hunter2"."""
    return _RUNS.sub("", value.translate(_CLASSES))


def shapes(values: Sequence[str]) -> list[str]:
    """The shape of each; together they cost a fraction of what they do one by one."""
    joined = _BETWEEN.join(values)
    if joined.count(_BETWEEN) != len(values) - 1 or "" in values:
        return [shape(value) for value in values]
    return shape(joined).split(_BETWEEN)


def quick(value: str, language: Language) -> list[float]:
    """The first eight of `mohist.guard.keyword.model.QUICK_NAMES`."""
    head = value[:QUICK_MAX_CHARS]
    size = len(head) or 1
    classes = head.translate(_CLASSES)
    lower, upper, digit, space = classes.count("a"), classes.count("A"), classes.count("0"), classes.count(" ")
    words = language.words
    known = sum([len(word) for word in WORDS.findall(head) if word.lower() in words])
    return [
        float(min(len(value), 400)), lower / size, upper / size, digit / size, (size - lower - upper - digit - space) / size, float(space),
        language.mean(head), known / size,
    ]  # fmt: skip


def features(value: str, language: Language) -> list[float]:
    """In the order of `NAMES`."""
    head = value[:READ_MAX_CHARS]
    size = len(head) or 1
    classes = head.translate(_CLASSES)
    lower, upper, digit, space = classes.count("a"), classes.count("A"), classes.count("0"), classes.count(" ")
    runs = len(_RUNS.sub("", classes))
    longest = max(map(len, _STRETCHES.findall(classes)), default=0)
    letters = set(head)
    entropy = 0.0
    for letter in letters:
        share = head.count(letter) / size
        entropy -= share * log2(share)
    folded = head.lower()
    words = WORDS.findall(head)
    known = [word for word in words if word.lower() in language.words]
    mean, rare, last = language.rarity(head)
    out = [
        float(min(len(value), 400)), log2(len(value) + 1), lower / size, upper / size, digit / size, (size - lower - upper - digit - space) / size, float(space),
        float(runs), runs / size, float(longest), len(letters) / size, entropy, mean, rare, last,
        sum(map(len, known)) / size, float(len(words)), float(len(known)),
        float(sum([word in folded for word in _STRONG])), float(sum([word in folded for word in _WEAK])), float(sum([word in folded for word in REFERENCES])),
        float("aA0- ".find(classes[:1])), float("aA0- ".find(classes[-1:])),
    ]  # fmt: skip
    out += [1.0 if form.match(head) else 0.0 for form in _FORMS]
    out += [1.0 if sign in head else 0.0 for sign in _SIGNS]
    return out
