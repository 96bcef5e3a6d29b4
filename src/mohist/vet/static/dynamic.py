"""Code that is made while a program runs, and programs that are fetched to be run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from mohist.vet.finding import Certainty, Severity
from mohist.vet.static.text import Text

_AROUND_BYTES = 240


@dataclass(frozen=True, slots=True)
class Way:
    """One way to come to code."""

    name: str
    title: str
    severity: Severity
    certainty: Certainty
    searches: tuple[tuple[bytes, str], ...]
    """A word to find, and the expression around it that must fit."""
    languages: tuple[str, ...] = ("javascript", "python", "shell", "instruction")


_DECODES = r"(?:\w+\.)*(?:atob\(|Buffer\.from\(|b64decode\(|zlib\.decompress\(|marshal\.loads\(|codecs\.decode\(|bytes\.fromhex\(|unhexlify\(|__import__\(\s*['\"](?:base64|zlib|marshal)|String\.fromCharCode\(|fromCodePoint\()"
_FETCHES = r"(?:\w+\.)*(?:requests\.get\(|urlopen\(|urllib\.request|httpx\.get\(|await\s*\(?\s*await\s+fetch\(|\(await fetch\(|__import__\(\s*['\"](?:requests|urllib))"
_RUNS = r"(?:\beval\(|(?<![.\w])exec\(|new Function\(|\bFunction\(|\.runInThisContext\(|\.runInNewContext\(|\.runInContext\(|_compile\()"

WAYS: tuple[Way, ...] = (
    Way(
        "made-code", "Makes code from text while it runs", "info", "observed",
        (
            (b"eval(", r"(?<![.\w$])eval\([^)]"), (b"new Function(", r"\bnew Function\([^)]"), (b"runIn", r"\.runIn(?:This|New)?Context\("),
            (b"marshal.loads", r"\bmarshal\.loads\("), (b"exec(", r"(?<![.\w])exec\((?=\s*(?:compile|code|[\w.]+\s*[,)]))"),
        ),
    ),
    Way(
        "native-calls", "Loads native code by name", "info", "observed",
        ((b"ctypes", r"\bctypes\.(?:CDLL|WinDLL|windll|cdll|PyDLL)\b"), (b"dlopen", r"\bprocess\.dlopen\(|\bdlopen\(")),
    ),
    Way(
        "decoded-code", "Runs what it decodes", "high", "observed",
        (
            (b"eval(", r"\beval\(\s*(?:compile\(\s*)?" + _DECODES), (b"exec(", r"(?<![.\w])exec\(\s*(?:compile\(\s*)?" + _DECODES),
            (b"Function(", r"\bFunction\(\s*" + _DECODES),
            (b"base64", r"base64 (?:-d|-D|--decode)[^\n|]{0,80}\|\s*(?:sudo\s+)?(?:ba|z|da)?sh\b"),
            (b"powershell", r"powershell(?:\.exe)?[^\n\"'`]{0,80}-[eE](?:nc|ncodedCommand)\b"),
        ),
    ),
    Way(
        "fetched-code", "Runs what it downloads", "high", "observed",
        (
            (b"eval(", r"\beval\(\s*(?:compile\(\s*)?" + _FETCHES), (b"exec(", r"(?<![.\w])exec\(\s*(?:compile\(\s*)?" + _FETCHES),
            (b"Function(", r"\bFunction\(\s*" + _FETCHES),
        ),
    ),
    Way(
        "fetched-text", "Makes code close to where it downloads text", "low", "possible",
        (
            (b".text()", r"fetch\([^;]{0,160}\.text\(\)[^}]{0,120}" + _RUNS), (b"urlopen", r"urlopen\([^\n]{0,160}\n?[^\n]{0,120}" + _RUNS),
            (b"requests.get", r"requests\.get\([^\n]{0,160}\n?[^\n]{0,120}" + _RUNS),
        ),
    ),
    Way(
        "shell-download", "Names a download that a shell runs", "low", "possible",
        ((b"curl", r"curl\s[^|\n\"'`]{1,200}\|\s*(?:sudo\s+)?(?:ba|z|da)?sh\b"), (b"wget", r"wget\s[^|\n\"'`]{1,200}\|\s*(?:sudo\s+)?(?:ba|z|da)?sh\b"), (b"| iex", r"(?:irm|iwr|Invoke-WebRequest)\s[^|\n]{1,200}\|\s*iex\b")),
    ),
)  # fmt: skip

_COMPILED = [(way, word, re.compile(expression.encode("ascii"))) for way in WAYS for word, expression in way.searches]


@dataclass(frozen=True, slots=True)
class Made:
    """One place."""

    way: Way
    start: int
    end: int


def makings(text: Text) -> Iterator[Made]:
    """Every place of a program where code is made, decoded to be run, or fetched to be run."""
    data = text.data
    for way, word, expression in _COMPILED:
        if text.language not in way.languages:
            continue
        at = data.find(word)
        while at >= 0:
            end = at + len(word)
            match = expression.search(data, max(at - _AROUND_BYTES, 0), end + _AROUND_BYTES)
            if match is not None and match.start() <= end and match.end() >= at:
                yield Made(way, match.start(), match.end())
                end = max(end, match.end())
            at = data.find(word, end)
