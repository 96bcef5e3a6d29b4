"""Reads the constant strings of Go sources, without running any: assignments, lists, maps, `+`, and the few functions that the
scanners' rules make their test texts with."""

from __future__ import annotations

import random
import re
import re._constants as sre
import re._parser as parser
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from zlib import crc32

_TOKEN = re.compile(
    r"""(?P<skip>\s+|//[^\n]*|/\*.*?\*/)|(?P<raw>`[^`]*`)|(?P<string>"(?:[^"\\\n]|\\.)*")|(?P<rune>'(?:[^'\\]|\\.)+')"""
    r"""|(?P<name>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)|(?P<number>\d[\w.]*)|(?P<sign>:=|\.\.\.|.)""",
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|([0-7]{3})|(.))", re.DOTALL)
_LETTERS = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_VERB = re.compile(r"%(?:[-+#0]*\d*(?:\.\d+)?[svdqx]|%)")
_REPEAT_MAX = 100
_CLOSING = {"(": ")", "[": "]", "{": "}"}

Token = tuple[str, str]


class UnknownFormError(Exception):
    """An expression that isn't constant, or that this reader doesn't know."""


def tokens(text: str) -> list[Token]:
    """Kind and text of each token; no white space, no comments."""
    return [(found.lastgroup or "", found[0]) for found in _TOKEN.finditer(text) if found.lastgroup != "skip"]


def functions(every: Sequence[Token]) -> Iterator[Sequence[Token]]:
    """The tokens of each function at the top of a file; what stands between them is left out."""
    at = 0
    while at < len(every):
        if every[at] != ("name", "func"):
            at += 1
            continue
        end = at
        while end < len(every) and every[end][1] != "{":
            end += 1
        close = _closed(every, end)
        yield every[at:close]
        at = close


def _closed(every: Sequence[Token], start: int) -> int:
    """After the bracket that closes the one at `start`."""
    depth = 0
    for at in range(start, len(every)):
        if every[at][0] == "sign":
            depth += (every[at][1] in _CLOSING) - (every[at][1] in _CLOSING.values())
            if depth == 0:
                return at + 1
    return len(every)


class Reader:
    """Evaluates constant expressions.

    Args:
        sized: texts with one "%s" by the function's name: the expressions that `utils.Hex("32")` and its like stand for.
        samples: templates with {i}, {I} and {s}, which `GenerateSampleSecrets` fills.
    """

    def __init__(self, sized: Mapping[str, str] | None = None, samples: Mapping[str, str] | None = None) -> None:
        self._sized = sized or {}
        self._samples = samples or {}
        self._tokens: Sequence[Token] = ()
        self._at = 0
        self.names: dict[str, Any] = {}

    def assignments(self, every: Sequence[Token], signs: tuple[str, ...] = (":=", "=")) -> Iterator[tuple[str, Any]]:
        """Each `name := constant` (or with another sign), in order; the names are known to what follows."""
        self._tokens = every
        at = 0
        while at + 2 < len(every):
            (kind, name), (_, sign) = every[at], every[at + 1]
            if kind == "name" and sign in signs and every[at + 2][1] != "=":
                self._at = at + 2
                try:
                    value = self._sum()
                except (UnknownFormError, IndexError):
                    at += 2
                    continue
                self.names[name] = value
                yield name, value
                at = max(self._at, at + 2)
            else:
                at += 1

    def _next(self) -> Token:
        self._at += 1
        return self._tokens[self._at - 1]

    def _sign(self) -> str:
        if self._at >= len(self._tokens):
            return ""
        kind, text = self._tokens[self._at]
        return text if kind == "sign" else ""

    def _sum(self) -> Any:
        value = self._term()
        while self._sign() == "+":
            self._at += 1
            more = self._term()
            if not isinstance(value, str) or not isinstance(more, str):
                raise UnknownFormError
            value += more
        return value

    def _term(self) -> Any:
        kind, text = self._next()
        match kind:
            case "raw":
                return text[1:-1].replace("\r", "")
            case "string":
                return _unescaped(text[1:-1])
            case "number":
                return float(text) if text.replace(".", "", 1).isdigit() else 0.0
            case "name":
                return self._named(text)
        if text == "(":
            value = self._sum()
            self._next()
            return value
        if text == "[" and self._sign() == "]":
            self._at += 1
            _, element = self._next()
            if element in ("string", "byte") and self._sign() == "{":
                return self._items()
            if element == "byte" and self._sign() == "(":
                return self._arguments()[0]
        raise UnknownFormError

    def _named(self, name: str) -> Any:
        if name == "nil":
            return None
        if name == "map":
            if [text for _, text in self._tokens[self._at : self._at + 4]] != ["[", "string", "]", "string"]:
                raise UnknownFormError
            self._at += 4
            return self._pairs()
        if self._sign() == "(":
            return _called(name.rpartition(".")[2], self._arguments(), self._sized, self._samples)
        if self._sign() in ("[", ".") or name not in self.names:
            raise UnknownFormError
        return self.names[name]

    def _pairs(self) -> dict[str, str]:
        pairs: dict[str, str] = {}
        end = _closed(self._tokens, self._at)
        self._at += 1
        while self._at < end - 1:
            key = self._sum()
            self._next()
            pairs[str(key)] = str(self._sum())
            if self._sign() == ",":
                self._at += 1
        self._at = end
        return pairs

    def _items(self) -> list[str]:
        """A list's constants; what isn't one is left out."""
        items: list[str] = []
        end = _closed(self._tokens, self._at)
        self._at += 1
        while self._at < end - 1:
            start = self._at
            try:
                value = self._sum()
                if self._sign() not in (",", "}"):
                    raise UnknownFormError
                items += [value] if isinstance(value, str) else []
            except (UnknownFormError, IndexError):
                self._at = self._comma(start, end)
            if self._sign() == ",":
                self._at += 1
        self._at = end
        return items

    def _comma(self, start: int, end: int) -> int:
        at = start
        while at < end - 1 and self._tokens[at][1] != ",":
            at = _closed(self._tokens, at) if self._tokens[at][1] in _CLOSING else at + 1
        return at

    def _arguments(self) -> list[Any]:
        """What a call is given; an argument that isn't constant makes the call unknown."""
        values: list[Any] = []
        end = _closed(self._tokens, self._at)
        self._at += 1
        while self._at < end - 1:
            value = self._sum()
            if self._sign() == "...":
                self._at += 1
                values += value if isinstance(value, list) else [value]
            else:
                values.append(value)
            if self._sign() == ",":
                self._at += 1
            elif self._at < end - 1:
                raise UnknownFormError
        self._at = end
        return values


def _unescaped(text: str) -> str:
    def letter(found: re.Match[str]) -> str:
        code = found[1] or found[2]
        if code:
            return chr(int(code, 16))
        return chr(int(found[3], 8)) if found[3] else _LETTERS.get(found[4], found[4])

    return _ESCAPE.sub(letter, text)


def _called(name: str, given: list[Any], sized: Mapping[str, str], samples: Mapping[str, str]) -> Any:
    match name, given:
        case "NewSecret" | "NewSecretWithEntropy", [str(expression), *_]:
            return made(expression)
        case "GenerateSampleSecret", [str(word), str(secret)]:
            return f'{word}_api_token = "{secret}"'
        case "GenerateSampleSecrets", [str(word), str(secret)]:
            return [
                form.replace("{i}", word).replace("{I}", word.upper()).replace("{s}", secret)
                for form in samples.values()
            ]
        case "append", [list(first), *more]:
            return first + more
        case "append", [*more] if all(isinstance(one, str) for one in more):
            return more
        case "Sprintf", [str(form), *values]:
            rest = iter(values)
            return _VERB.sub(lambda found: "%" if found[0] == "%%" else str(next(rest, "")), form)
        case "Repeat", [str(text), float(count)]:
            return text * int(count)
        case "TrimSpace", [str(text)]:
            return text.strip()
        case _, [str(size)] if name in sized:
            return sized[name].replace("%s", size)
        case _, [] if name in sized:
            return sized[name]
    raise UnknownFormError


def made(expression: str) -> str:
    """A text that an expression matches, the same for the same expression."""
    source = random.Random(crc32(expression.encode("utf-8")))
    try:
        return _made(parser.parse(expression), source)
    except re.error:
        raise UnknownFormError from None


def _made(parts: Any, source: random.Random) -> str:
    return "".join(_piece(operator, about, source) for operator, about in parts)


def _piece(operator: Any, about: Any, source: random.Random) -> str:
    match operator:
        case sre.LITERAL:
            return chr(about)
        case sre.IN:
            characters = [one for part in about for one in _members(*part)]
            return source.choice(characters)
        case sre.MAX_REPEAT | sre.MIN_REPEAT:
            least, most, inner = about
            most = min(int(most), max(least, _REPEAT_MAX))
            return "".join(_made(inner, source) for _ in range(source.randint(least, most)))
        case sre.SUBPATTERN:
            return _made(about[-1], source)
        case sre.BRANCH:
            return _made(source.choice(about[1]), source)
        case sre.AT:
            return ""
    raise UnknownFormError


def _members(operator: Any, about: Any) -> list[str]:
    match operator:
        case sre.LITERAL:
            return [chr(about)]
        case sre.RANGE:
            return [chr(code) for code in range(about[0], about[1] + 1)]
        case sre.CATEGORY if about is sre.CATEGORY_DIGIT:
            return list("0123456789")
        case sre.CATEGORY if about is sre.CATEGORY_WORD:
            return [*map(chr, range(97, 123)), *map(chr, range(65, 91)), *"0123456789_"]
    raise UnknownFormError
