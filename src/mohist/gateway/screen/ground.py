"""What the places are in which a model writes a placeholder: prose, a link, an argument that is a file's content."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Final

from mohist.gateway.screen.sink import PATHS, Sink, is_file

WITHHELD: Final = "withheld-by-guard"
LINE_CHARS: Final = 2_048
"""Of the line so far; an address that is longer is taken for one all the same."""

# An address under way at the end of a line. What begins in quotes or in `<` goes on to the closing sign, blanks included; what
# doesn't, to the next blank: a shell joins to it what stands in quotes behind it. Of slashes browsers take one, or backslashes.
_BEGINNING: Final = r"(?: [a-z0-9+.-]+:[/\\] | // | www\. )"
_ADDRESS: Final = re.compile(
    rf"""(?ix)
    (?P<quote> ["'`] ) {_BEGINNING} (?: (?! (?P=quote) ) . )* $
  | (?<! [a-z0-9+.:"'`-] ) {_BEGINNING} \S* $
  | < \s* {_BEGINNING} [^>]* $
  | \]\( \s* (?: < [^>]* | [^\s)>]* ) $
  | ^ [\s>*+-]* \[ [^\]]+ \]: \s* (?: < [^>]* | \S* ) $
    """
)
# What else is fetched or followed where an answer is shown; in a file these are words like others.
_SHOWN_ADDRESS: Final = re.compile(
    r"""(?ix)
    (?: [a-z0-9+.-]+:[/\\] | (?<![\w:]) // | \bwww\. ) \S* $
  | \]\( \s* \S* $
  | \b (?: mailto | data | tel | sms | javascript | command ) : [^\s<>"'`|]* $
  | \b (?: href|src|srcset|action|formaction|poster|background|cite|url ) \s* [=(] \s* ["']? [^"'>\s)]* $
  | \b url\( [^)]* $ | @import [^;]* $
  | (?<! [\w\\] ) \\\\ [\w.-]+ \\ \S* $
    """
)
# Inside a tag of HTML: a value goes on over blanks and lines, and browsers leave both out of an address. A tag ends with its
# paragraph, else a "<" of code would keep all that follows.
_TAG: Final = re.compile(r"""(?i)<[a-z][\w:-]*\s(?:[^<>"']|"[^"]*"|'[^']*')*+(?:"[^"]*|'[^']*)?$""")


class Prose:
    """Text that is shown to a person, or goes into a file.

    Args:
        values: what each placeholder stands for.
        watched: values and forms of them that must not stand in an address; they may everywhere else.
        shown: on a screen.
    """

    def __init__(
        self, values: Mapping[str, str], watched: AbstractSet[str] = frozenset(), *, shown: bool = True
    ) -> None:
        self._values = values
        self._watched = watched
        self._shown = shown
        self._line = ""
        self._cut = False
        """The line so far is one address, which began farther back than is remembered."""
        self._paragraph = ""
        self.withheld: list[str] = []
        """What stood in an address: placeholders that stayed, values that were taken out."""

    def passed(self, text: str) -> None:
        """More of the text."""
        start = text.rfind("\n") + 1
        if start:
            self._line, self._cut = text[start:], False
        else:
            self._line += text
        if len(self._line) > 2 * LINE_CHARS:
            # What is cut off may have been the beginning of an address.
            under_way = self._search()
            self._cut = self._cut or (under_way is not None and under_way.start() < len(self._line) - LINE_CHARS)
            self._line = self._line[-LINE_CHARS:]
        if self._shown:
            paragraph = self._paragraph + text
            self._paragraph = paragraph[paragraph.rfind("\n\n") + 1 :][-LINE_CHARS:]

    def judge(self, word: str) -> str | None:
        """A value for people to see, but none in an address: asking for it would send it."""
        if not self.in_address:
            return None if word in self._watched else self._values[word]
        self.withheld.append(word)
        return WITHHELD if word in self._watched else None

    @property
    def in_address(self) -> bool:
        """Whether what comes next is part of an address."""
        if self._cut or self._search() is not None:
            return True
        tag = _TAG.search(self._paragraph)
        return tag is not None and "=" in tag.group()

    def _search(self) -> re.Match[str] | None:
        return _ADDRESS.search(self._line) or (_SHOWN_ADDRESS.search(self._line) if self._shown else None)


_STRUCTURE: Final = re.compile(r'["{}\[\],:]')
_STRING_STOP: Final = re.compile(r'["\\]')
_HEX_DIGITS: Final = 4
# A patch's line that says which file comes: of the kind that models are taught, or git's.
_PATCH_FILE: Final = re.compile(
    r"(?:\*\*\* (?:(?:Add|Update|Delete) File|Move to):|---|\+\+\+|diff --git|rename to|copy to)\s+(.*)"
)


class Arguments:
    """The arguments of one tool call: JSON as it comes, or a text.

    Args:
        values: what each placeholder stands for.
        sink: which of them are a file's content; None: none is.
    """

    def __init__(self, values: Mapping[str, str], sink: Sink | None) -> None:
        self._values = values
        self._sink = sink
        self._prose = Prose(values, shown=False)
        self._is_json: bool | None = None
        self._in_string = False
        self._escaped = False
        self._string = ""
        self._is_key = False
        self._stack: list[str | None] = []
        """The key that each open object is at, None for an array."""
        self._no_file = False
        self._code: str | None = None
        """The hex digits of an escaped character, as far as they have come."""
        self._row = ""
        """Of a patch, the line so far."""
        self._restored = False
        self.spoiled = False
        """A value was put back before it was said that this is no file of the workspace's."""
        self.withheld = self._prose.withheld

    def passed(self, text: str) -> None:
        """More of the arguments."""
        if self._is_json is None:
            bare = text.lstrip()
            if not bare:
                return
            self._is_json = bare[0] in '{["'
        if not self._is_json:
            self._say(text)
            return
        at = 0
        while at < len(text):
            at = self._string_part(text, at) if self._in_string else self._structure(text, at)

    def judge(self, word: str) -> str | None:
        """The value, as JSON writes it, where it is a file's content."""
        if self._sink is None or not self._may_hold():
            self.withheld.append(word)
            return None
        value = self._prose.judge(word)
        self._restored = self._restored or value is not None
        if value is None or not self._is_json:
            return value
        return json.dumps(value, ensure_ascii=False)[1:-1]

    def _may_hold(self) -> bool:
        assert self._sink is not None
        if self._no_file:
            return False
        if not self._is_json:
            return self._sink.free
        if not self._in_string or self._is_key or self._escaped or self._code is not None:
            return False
        return ".".join(key for key in self._stack if key is not None) in self._sink.fields

    def _string_part(self, text: str, at: int) -> int:
        if self._code is not None:
            return self._code_part(text, at)
        if self._escaped:
            self._escaped = False
            if text[at] == "u":
                self._code = ""
                return at + 1
            # A line's end in the content is one for the address that may stand in it.
            self._add("\n" if text[at] in "nr" else " " if text[at] == "t" else text[at])
            return at + 1
        stop = _STRING_STOP.search(text, at)
        end = stop.start() if stop else len(text)
        self._add(text[at:end])
        if stop is None:
            return end
        if stop.group() == "\\":
            self._escaped = True
        else:
            self._in_string = False
            self._close()
        return end + 1

    def _code_part(self, text: str, at: int) -> int:
        """Digits of an escaped character: an address or a path may be spelled so."""
        assert self._code is not None
        end = min(len(text), at + _HEX_DIGITS - len(self._code))
        self._code += text[at:end]
        if len(self._code) == _HEX_DIGITS:
            code, self._code = self._code, None
            try:
                self._add(chr(int(code, 16)))
            except ValueError:  # no JSON; whoever reads it refuses it
                self._no_file = True
        return end

    def _add(self, text: str) -> None:
        if self._is_key or len(self._string) < LINE_CHARS:
            self._string += text
        if not self._is_key:
            self._say(text)

    def _say(self, text: str) -> None:
        """More of a value."""
        self._prose.passed(text)
        if self._sink is None or not self._sink.free:
            return
        *rows, last = (self._row + text).split("\n")
        for row in rows:
            named = _PATCH_FILE.match(row)
            if named is not None and not all(map(is_file, (named[1], *named[1].split()))):
                self._bar()
        self._row = last[:LINE_CHARS]

    def _bar(self) -> None:
        """It is no file of the workspace's after all."""
        self._no_file = True
        self.spoiled = self.spoiled or self._restored

    def _close(self) -> None:
        if self._is_key:
            self._stack[-1] = self._string
        elif self._stack and self._stack[-1] in PATHS and not is_file(self._string):
            self._bar()

    def _structure(self, text: str, at: int) -> int:
        found = _STRUCTURE.search(text, at)
        if found is None:
            return len(text)
        sign = found.group()
        if sign == '"':
            self._in_string, self._string = True, ""
            self._prose.passed("\n")
        elif sign == "{":
            self._stack.append("")
            self._is_key = True
        elif sign == "[":
            self._stack.append(None)
            self._is_key = False
        elif sign in "}]":
            if self._stack:
                self._stack.pop()
            self._is_key = False
        else:
            self._is_key = sign == "," and bool(self._stack) and self._stack[-1] is not None
        return found.end()
