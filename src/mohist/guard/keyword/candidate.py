"""A candidate: a value beside a word that may name a secret, cut out of the text around a match of the net."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from string import ascii_letters, digits

from mohist.guard.detector import Match
from mohist.guard.keyword.word import KINDS, NOT_KEYS

VALUE_MAX_CHARS = 400
"""A longer value is cut: what follows is not read."""
KEY_MAX_CHARS = 64
LINE_MAX_CHARS = 240
"""Of a line, on either side of a value; the rest of a longer one is not read."""
KEYS_KEPT = 4_096
"""Names whose kind is remembered; sources have few of them, many times."""
LIST_MAX = 8
"""Of further strings in a list or call."""

_QUOTES = "\"'`"
_IDENTIFIER = re.compile(r"[\w\-.$@]*")
_IDENTIFIER_CHARS = f"{ascii_letters}{digits}_-.$@"
_LEAD = re.compile(
    r"""[ \t]*(?:\r?\n[ \t]*(?=["'`\-])(?:-[ \t]+)?)?(?P<wrap>(?:[\w.$:\\*&!]{0,48}[(\[{][ \t]*(?:\w{1,24}[ \t]*[:=][ \t]*|None,[ \t]*)?){0,3})(?P<prefix>[bBrRuUfFLN@$]{0,2})(?P<quote>\\{0,3}["'`]{1,3}|&quot;|&\#[0-9]{2};|%22)?"""
)
_BARE = re.compile(r"""(?:[^\s"'`<>,;(){}\[\]|&\\]+|&(?![\w.\-]+=|amp;|quot;|\#)|\\(?![nrt"'\\/]))+""")
# Most values are a name or a number with a separator behind it: what the three expressions around this one say of such, in one.
_PLAIN = re.compile(r"""[ \t]*(?P<value>(?P<prefix>[bBrRuUfFLN@$]{0,2})[A-Za-z0-9_.@$-]{1,200})(?=[,;)}\r\n])""")
_QUERY = re.compile(r"&(?:amp;)?[\w.\-]+=")
_LINE_REST = re.compile(r"[^\n\r]{0,80}")
_TYPED = re.compile(r"""[\w.<>\[\]?*&: ]{1,40}?[ \t]*=[ \t]*(?=["'`])""")
_NEXT = re.compile(r"""[ \t\r\n]*,[ \t\r\n]*(?:[\w.]+[ \t]*[=:][ \t]*)?(?P<quote>\\{0,3}["'`])""")
_SCHEME = re.compile(r"(?:basic|bearer|token|apikey|ntlm|negotiate)[ \t]+(?=[A-Za-z0-9+/=._~\-]+\Z)", re.IGNORECASE)
_OPTION = re.compile(r"(?<=[ \t])(?P<flag>--?(?:user|[pauwb]))(?![\w\-]*[ \t=]-)[ \t=]?(?=[^\s\-])")
_PAIR = re.compile(r"[\"']?[^\s:\"'/]{1,60}:")
_ORDER = tuple(KINDS)
_KIND = {word: number for number, words in enumerate(KINDS.values()) for word in words}
_WORDS = re.compile("|".join(sorted(_KIND, key=len, reverse=True)))
_NOT_KEYS = re.compile("|".join(word if word != "author" else "author(?!i[sz])" for word in NOT_KEYS))


class Candidate:
    """One value with what stands about it; offsets in characters of the view.

    What most of them have none of stands in the class, so that making one costs little: sources hold a thousand in a MB.
    """

    wrap = ""
    """What is called or opened about the value: `aws.String(`."""
    prefix = ""
    quote = ""
    order = 0
    """0 for the first value after a key, 1 for the next in the same list."""

    def __init__(self, net: str, key: str, kind: str, key_start: int, tail: str, operator: str) -> None:
        self.net = net
        self.key = key
        self.kind = kind
        self.key_start = key_start
        self.tail = tail
        """Words between the key and its operator."""
        self.operator = operator
        self.value = ""
        self.start = 0
        self.end = 0


@lru_cache(maxsize=KEYS_KEPT)
def kind_of(key: str) -> str:
    """What a key names: a kind of secret, or "" where none of our words is left in it."""
    found = _WORDS.findall(_NOT_KEYS.sub(" ", key.lower()))
    return _ORDER[min([_KIND[word] for word in found])] if found else ""


def candidates(text: str, matches: Mapping[str, Sequence[Match]]) -> Iterator[Candidate]:
    """The values at these matches, in no certain order; a value may be met twice, under different keys."""
    for net, places in matches.items():
        end = -1
        for match in places:
            # A key that holds two of our words is met at each of them; it is read whole at the first.
            if match[2] != end:
                end = match[2]
                yield from _named(text, net, match[1], end) if net == "assign" else _at(text, net, match)
            elif net != "assign":
                yield from _at(text, net, match)


def _at(text: str, net: str, match: Match) -> Iterator[Candidate]:
    start, end = match.start, match.end
    if net == "scheme":
        stop = text.index(" ", start) if " " in text[start:end] else text.index("\t", start)
        candidate = Candidate(net, text[start:stop], "auth", start, "", " ")
        yield from _values(text, candidate, stop)
        return
    if net == "sql":
        yield from _values(
            text, Candidate(net, "identified by", "password", start, "", " "), end - 1 - _slashes(text, end - 1)
        )
        return
    if net == "option":
        yield from _option(text, start, end)
        return
    if net == "call":
        name = text[start : text.index("(", start)]
        yield from _values(text, Candidate(net, name, "password", start, "", "("), end - 1)
        return
    if net == "prose":
        words = text[start:end].split()
        yield from _values(
            text,
            Candidate(net, words[0], kind_of(text[start:end]) or "password", start, " ".join(words[1:-1]), "is"),
            _last_blank(text, start, end),
        )
        return
    if net in ("upper", "space", "flag"):
        key_start = _key_start(text, start)
        key_end = min((at for at in (text.find(" ", start, end), text.find("\t", start, end)) if at >= 0), default=end)
        if net == "space":
            stripped = text[start:end].lstrip(" \t\r\n#-*")
            key_start = end - len(stripped)
            key_end = key_start + len(stripped.split(None, 1)[0])
        key = text[key_start:key_end].strip("-.")
        kind = kind_of(key)
        if kind:
            yield from _values(text, Candidate(net, key, kind, key_start, "", " "), key_end)
        return
    yield from _named(text, net, start, end)


def _key_start(text: str, start: int) -> int:
    before = text[max(start - KEY_MAX_CHARS, 0) : start]
    return start - len(before) + len(before.rstrip(_IDENTIFIER_CHARS))


def _named(text: str, net: str, start: int, end: int) -> Iterator[Candidate]:
    """Where a name stands in front of an operator."""
    key_start = _key_start(text, start)
    tail = text[start:end].lstrip(_IDENTIFIER_CHARS) if net != "han" else _IDENTIFIER.sub("", text[start:end], count=1)
    key = text[key_start : end - len(tail)]
    kind = kind_of(key) or kind_of(tail)
    if not kind:
        return
    last = text[end - 1]
    if net == "han":
        yield from _values(text, Candidate(net, key, kind, key_start, "", ":"), end - 1)
        return
    if last in ":=":
        operator = last
        while end < len(text) and text[end] in ":=>~" and len(operator) < 3:
            operator += text[end]
            end += 1
        if operator == "=" and text[end - 2] in "!+<>?|&":
            operator = text[end - 2] + operator
        candidate = Candidate(net, key, kind, key_start, tail[:-1].strip(), operator)
        plain = _PLAIN.match(text, end)
        if plain is None:
            yield from _values(text, candidate, end)
        else:
            start, end = plain.span("value")
            candidate.prefix = plain["prefix"]
            yield _cut(text, candidate, start, end)
    elif last == ">" or tail[-2:-1] == ">" or "|" in tail:
        operator = "|" if "|" in tail else ">"
        yield from _values(text, Candidate(net, key, kind, key_start, "", operator), end - 1)
    else:
        body = tail.rstrip("\"'`;&quot#0123456789\\")
        operator = next((sign for sign in "(,[{" if sign in body), " ")
        at = end - 1
        while text[at - 1] == "\\":
            at -= 1
        if last == ";":
            at = text.rindex("&", start, end)
        candidate = Candidate(net, key, kind, key_start, body.strip(), operator)
        candidate.wrap = body[body.rindex(operator) + 1 :].strip() if operator != " " else ""
        yield from _values(text, candidate, at)


def _last_blank(text: str, start: int, end: int) -> int:
    return 1 + max(text.rfind(" ", start, end), text.rfind("\t", start, end), text.rfind(":", start, end))


def _slashes(text: str, at: int) -> int:
    count = 0
    while text[at - 1 - count] == "\\":
        count += 1
    return count


def _option(text: str, start: int, end: int) -> Iterator[Candidate]:
    """The values of a program's short flags, as far as its line goes."""
    line = text.find("\n", end, end + LINE_MAX_CHARS)
    program = text[start:end].split(None, 1)[0]
    for flag in _OPTION.finditer(text, start, line if line >= 0 else end + LINE_MAX_CHARS):
        candidate = Candidate("option", f"{program} {flag['flag']}", "password", flag.start("flag"), "", " ")
        if flag["flag"].lstrip("-") not in ("u", "user"):
            yield from _values(text, candidate, flag.end())
        elif (pair := _PAIR.match(text, flag.end())) is not None:
            yield from _bare(text, candidate, pair.end())


def _bare(text: str, candidate: Candidate, at: int) -> Iterator[Candidate]:
    found = _BARE.match(text, at, at + VALUE_MAX_CHARS)
    if found is not None:
        yield _cut(text, candidate, found.start(), found.end())


def _values(text: str, candidate: Candidate, at: int) -> Iterator[Candidate]:
    """The value that begins at `at`, and those after it in the same list."""
    lead = _LEAD.match(text, at)
    assert lead is not None  # every part of it may be empty
    quote = lead["quote"]
    if not quote and candidate.operator in (":", "=", " ") and (typed := _TYPED.match(text, at)) is not None:
        candidate.wrap = typed[0].rstrip(" =\t")
        candidate.operator = "="
        lead = _LEAD.match(text, typed.end())
        assert lead is not None
        quote = lead["quote"]
    candidate.wrap += lead["wrap"].strip()
    candidate.prefix = lead["prefix"]
    start = lead.end()
    if not quote:
        start = lead.start("prefix")
        if "\n" in text[at:start]:
            return
        if candidate.operator == ">":
            stop = text.find("<", start, start + VALUE_MAX_CHARS)
            if stop > start:
                yield _cut(text, candidate, start, stop)
            return
        yield from _bare(text, candidate, start)
        return
    if quote.lstrip("\\") in ('""', "''"):
        return  # an empty string
    candidate.quote = quote
    end = _close(text, quote, start)
    inner = end
    if candidate.operator == "=" and (query := _QUERY.search(text, start, end)) is not None:
        inner = query.start()
    yield _cut(text, candidate, start, inner)
    if candidate.operator == ">" or (not candidate.wrap and candidate.operator not in ("(", ",", "[")):
        return
    for order in range(1, LIST_MAX):
        further = _NEXT.match(text, end + len(quote))
        if further is None or further["quote"] != quote:
            return
        start = further.end()
        end = _close(text, quote, start)
        other = Candidate(
            candidate.net, candidate.key, candidate.kind, candidate.key_start, candidate.tail, candidate.operator
        )
        other.wrap, other.quote, other.order = candidate.wrap, quote, order
        yield _cut(text, other, start, end)


def _close(text: str, quote: str, start: int) -> int:
    """Where a quoted value ends; without its closing quote, with its line."""
    limit = start + VALUE_MAX_CHARS
    at = text.find(quote, start, limit)
    if quote in _QUOTES:
        while at > start and text[at - 1] == "\\" and (at - start < 2 or text[at - 2] != "\\"):
            at = text.find(quote, at + 1, limit)
    line = text.find("\n", start, limit)
    if at < 0:
        return line if line >= 0 else min(limit, len(text))
    return line if 0 <= line < at else at


def _cut(text: str, candidate: Candidate, start: int, end: int) -> Candidate:
    candidate.start, candidate.end = start, end
    candidate.value = text[start:end]
    if (" " in candidate.value or "\t" in candidate.value) and (scheme := _SCHEME.match(candidate.value)) is not None:
        candidate.start += scheme.end()
        candidate.value = candidate.value[scheme.end() :]
    if not candidate.quote:
        trimmed = candidate.value.rstrip(".:")
        candidate.end -= len(candidate.value) - len(trimmed)
        candidate.value = trimmed
    return candidate
