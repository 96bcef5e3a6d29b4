"""What decoded bytes say: hosts, zone names, paths, addresses on the web, code; or nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Literal
from zoneinfo import available_timezones

Kind = Literal["hosts", "zones", "paths", "urls", "words", "code"]

# The domains that names in programs end in: generic ones in use, those of countries, and those for internal use
# (https://data.iana.org/TLD/tlds-alpha-by-domain.txt; RFC 6762 appendix G; RFC 8375). Endings of files (py, sh, md, rs, so …) apart.
_GENERIC = """
com net org edu gov mil int info biz name pro mobi asia tel xxx app dev page cloud ai io co me tv cc ws fm gg ly to xyz online site store
tech space website fun shop live life world today top vip club work works run team group chat email media news blog wiki zone link click
software systems network digital agency studio design solutions services support tools codes technology company center help host hosting
games game global international
"""
_COUNTRIES = """
ac ad ae af ag al am ao aq ar at au aw az ba bb bd be bf bg bh bi bj bm bn bo br bs bt bw by bz ca cd cf cg ch ci ck cl cm cn cr cu
cv cw cx cy cz de dj dk dm do dz ec ee eg er es et eu fi fj fk fo fr ga gb gd ge gf gh gi gl gm gn gp gq gr gt gu gw gy hk hm hn hr ht hu id
ie il im in iq ir is it je jm jo jp ke kg kh ki km kn kp kr kw ky kz la lb lc li lk lr ls lt lu lv ma mc mg mh mk mm mn mo mp mq mr ms mt mu
mv mw mx my mz na nc ne nf ng ni nl no np nr nu nz om pa pe pf pg ph pk pm pn pr ps pt pw py qa re ro rs ru rw sa sb sc sd se sg sh si sk
sl sm sn so sr ss st su sv sx sy sz tc td tf tg th tj tk tl tm tn tr tt tw tz ua ug uk us uy uz va vc ve vg vi vn vu wf ye yt za zm zw pl ml
"""
_INTERNAL = "local internal intranet corp lan home onion test example invalid localhost arpa"
TOP = frozenset((*_GENERIC.split(), *_COUNTRIES.split(), *_INTERNAL.split()))
_ENDINGS = """
py sh rs pl ps cc md mm name java in is id to me do st ms pm pro app im so la tf re ml am cs sc sy tm run help zone link team group page design
tools top map at no it be as
"""
FILE_ENDINGS = frozenset(_ENDINGS.split())
"""Also what files, methods and words are called; a bare name that ends so is no host without more to say so."""
SURE = TOP - FILE_ENDINGS

_HOST = re.compile(r"(?:\*?\.)?(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+([a-z]{2,24})", re.IGNORECASE)
_URL = re.compile(
    r"[a-z][a-z0-9+.-]{1,15}://(?:[^\s/@]+@)?(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d{1,5})?(?:[/?#]\S*)?", re.IGNORECASE
)
_PATH = re.compile(
    r"(?:~|\$HOME|\$\{HOME\}|%[A-Z]{3,24}%|[A-Za-z]:)?[/\\][A-Za-z0-9._@-]+(?:[/\\][A-Za-z0-9._@ -]+)+[/\\]?|(?:~|\$HOME)[/\\]\.?[A-Za-z0-9._-]+"
)
_SPLIT = re.compile(r"[\s,;|\x00\"'`\[\]{}()<>=]+")
_COMMON_END = re.compile(
    r"[a-z0-9]{2,}\.(?:com|net|org|edu|gov|cn|ru|jp|kr|de|fr|uk|us|eu|nl|br|tw|hk|sg|in|io|ai|dev|app|cloud|xyz|info|co)(?=[:/]|\Z)"
)
_PORT = re.compile(r":\d{1,5}$")
_CODE = re.compile(
    r"\b(?:function\s*[\w$]*\s*\(|=>\s*[{(\w]|require\s*\(|import\s+[\w{*]|def\s+\w+\s*\(|exec\s*\(|eval\s*\(|subprocess|child_process|os\.system|process\.env|#!/bin/)"
)
_COMMON_MIN = 4
"""Of hosts that end commonly, where half of a list may end otherwise."""
_LIST = re.compile(r"[,;|\n ]")
_LIST_OF_WORDS = re.compile(
    r"[a-z0-9][a-z0-9_-]{2,23}(?:([,;|\n ])[a-z0-9][a-z0-9_-]{2,23})(?:\1[a-z0-9][a-z0-9_-]{2,23}){2,}"
)
_LIST_MIN_CHARS = 24
_LETTERS_MIN = 11
_COVERED = 0.6
"""Share of a list's characters, separators apart, that must be of its kind."""
_ALONE_MIN_CHARS = 7
_FAR = re.compile(
    r"(?:\.(?:ssh|aws|gnupg|netrc|npmrc|pypirc|kube|docker|claude|codex|gemini|qwen|config|gitconfig)\b|/etc/(?:passwd|shadow|machine-id|hosts)|/proc/|id_rsa|machine-id)"
)


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a text is."""

    kind: Kind
    items: tuple[str, ...]
    """The hosts, zones, paths or addresses; of code none."""


@cache
def zones() -> frozenset[str]:
    """Names of time zones with their region ("Asia/Shanghai"); of the machine's and of Python's own data."""
    return frozenset(
        zone for zone in available_timezones() if "/" in zone and not zone.startswith(("posix/", "right/"))
    )


def host_of(token: str) -> str:
    """The host that a token is ("*.Example.com:443" gives "example.com"); empty: none."""
    match = _HOST.fullmatch(_PORT.sub("", token))
    if match is None or match[1].lower() not in TOP:
        return ""
    return _PORT.sub("", token).lower().lstrip("*.")


def meaning(data: bytes, *, guessed: bool = False) -> Meaning | None:
    """What all of these bytes are, if they are a list of one kind (or one of it that says enough alone), or a piece of code.

    Nothing random passes: most of the text must be of the kind, and names must end as names end and zones exist.

    Args:
        data: decoded.
        guessed: whether a key or a direction was guessed to get it. Among 255 keys some make names of any letters, so then they must
            be names that are in use.
    """
    if len(data) < _ALONE_MIN_CHARS or not data.isascii():
        return None
    text = data.decode("ascii").strip("\x00 \t\r\n")
    tokens = [token.rstrip(".") for token in _SPLIT.split(text) if token]
    whole = sum(len(token) for token in tokens)
    if not whole:
        return None
    known = zones()
    found: dict[Kind, list[str]] = {"zones": [], "urls": [], "hosts": [], "paths": []}
    covered: dict[Kind, int] = dict.fromkeys(found, 0)
    for token in tokens:
        kind: Kind | None = None
        item = token
        if token in known:
            kind = "zones"
        elif "://" in token:
            match = _URL.fullmatch(token)
            if match is not None and (host_of(match[1]) or match[1][0].isdigit() or match[1][0] == "["):
                kind = "urls"
        elif "/" in token or "\\" in token:
            host, _, _ = token.partition("/")
            if host_of(host) and host_of(host).rpartition(".")[2] in SURE:
                kind, item = "hosts", token.lower()
            elif _PATH.fullmatch(token):
                kind = "paths"
        elif "." in token and (host := host_of(token)):
            kind, item = "hosts", host
        if kind is not None:
            found[kind].append(item)
            covered[kind] += len(token)
    if sum(covered.values()) >= _COVERED * whole and (kind := _guessed(found, text) if guessed else _chosen(found)):
        return Meaning(kind, tuple(dict.fromkeys(found[kind])))
    distinct = {match[:3] for match in _CODE.findall(text[:65536])}
    if guessed:
        distinct = {word for word in distinct if word.isalpha()}
    if len(text) >= 48 and len(distinct) >= 2:
        return Meaning("code", ())
    return Meaning("words", words) if guessed and (words := _words(text)) else None


def _guessed(found: dict[Kind, list[str]], text: str) -> Kind | None:
    if found["zones"]:
        return "zones"
    names = (*found["hosts"], *found["urls"])
    common = [name for name in names if _COMMON_END.search(name)]
    if len(common) * 2 >= len(names) and text == text.lower():
        if common and found["urls"]:
            return "urls"
        if len(set(common)) >= 2 and (len(common) == len(names) or len(set(common)) >= _COMMON_MIN):
            return "hosts"
    return "paths" if found["paths"] and _FAR.search(text) else None


def _words(text: str) -> tuple[str, ...]:
    """The words of a list of words; empty: it is none."""
    words = _LIST.split(text)
    if len(text) < _LIST_MIN_CHARS or not _LIST_OF_WORDS.fullmatch(text):
        return ()
    # Bytes of a binary format, few of which are in use, become words of few letters under some key.
    if len({*text}) < _LETTERS_MIN:
        return ()
    spoken = sum(any(letter in "aeiou" for letter in word) for word in words)
    vowels = sum(letter in "aeiou" for letter in text) / len(text)
    return tuple(words) if spoken * 4 >= len(words) * 3 and 0.2 <= vowels <= 0.6 else ()


def _chosen(found: dict[Kind, list[str]]) -> Kind | None:
    """The kind that a list is of; none where too little is named to be sure."""
    if found["zones"]:
        return "zones"
    if found["urls"]:
        return "urls"
    hosts = found["hosts"]
    if len(set(hosts)) >= 2 or any(
        len(host) >= _ALONE_MIN_CHARS and host.split("/")[0].rpartition(".")[2] in SURE for host in hosts
    ):
        return "hosts"
    paths = set(found["paths"])
    return "paths" if len(paths) >= 3 or any(_FAR.search(path) for path in paths) else None
