"""What speaks against a match: a small closed language over the value, the match, its line and its path.

Written as nested lists in the catalogue: ["any", …], ["all", …], ["not", p], ["matches", subject, [expressions]],
["contains" | "starts" | "ends", subject, [words]], ["entropy", "<=", bits], ["wordlike", ">=", characters], ["shared", n].
Words are compared in lower case. An unknown form is refused when it is loaded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from typing import Any

import re2  # type: ignore[import-untyped]

from mohist.guard.errors import GuardDataError
from mohist.guard.secret.word import entropy, wordlike

_NEAR_CHARS = 512
_AUTHORITY_END = re.compile(r"[:/?#,\s'\"`<>\[\]{}();]")


class Candidate:
    """One match with what stands around it; what is costly is cut out when it is asked for.

    Args:
        text: the whole text.
        start, end: the match.
        value_start, value_end: the value in it.
        path: of the file, with "/"; empty where there is none.
    """

    def __init__(self, text: str, start: int, end: int, value_start: int, value_end: int, path: str) -> None:
        self._text = text
        self._start = start
        near = max(start - _NEAR_CHARS, 0)
        self._line_start = max(text.rfind("\n", near, start) + 1, near)
        self._end = end
        self.value = text[value_start:value_end]
        self.match = text[start:end]
        self.path = path

    @cached_property
    def line(self) -> str:
        """All lines that the match touches; of a long one what is near."""
        last = min(self._end + _NEAR_CHARS, len(self._text))
        end = self._text.find("\n", self._end, last)
        return self._text[self._line_start : end if end >= 0 else last]

    @cached_property
    def name(self) -> str:
        """What the value is given to: the word that runs up to the match and the words that the match begins with."""
        before = re.match(r"[\w.-]*", self._text[self._line_start : self._start][::-1])
        inside = re.match(r"[\w .-]*", self.match)
        assert before is not None
        assert inside is not None
        return before[0][::-1] + inside[0]

    @cached_property
    def uri(self) -> str:
        """A URL that the match is, without what closes it."""
        return self.match.rstrip(" \t\r\n'\"`#<>{}[],;)")

    @cached_property
    def host(self) -> str:
        """The first host of that URL."""
        return _AUTHORITY_END.split(self.uri.rpartition("@")[2], maxsplit=1)[0].lower()

    def subject(self, name: str) -> str:
        """By the name that predicates use."""
        return str(getattr(self, name))


Predicate = Callable[[Candidate], bool]
SUBJECTS = frozenset({"value", "match", "line", "path", "name", "host", "uri"})


def NEVER(_candidate: Candidate) -> bool:  # noqa: N802 - a constant that happens to be callable
    """Says nothing against anything."""
    return False


def predicate(form: Any, shared: Sequence[Predicate] = ()) -> Predicate:
    """The predicate that a nested list stands for.

    Args:
        form: see above.
        shared: what ["shared", n] refers to.

    Raises:
        GuardDataError: it is of no known form.
    """
    match form:
        case ["any", *parts]:
            several = [predicate(part, shared) for part in parts]
            return lambda candidate: any(part(candidate) for part in several)
        case ["all", *parts]:
            several = [predicate(part, shared) for part in parts]
            return lambda candidate: all(part(candidate) for part in several)
        case ["not", part]:
            negated = predicate(part, shared)
            return lambda candidate: not negated(candidate)
        case ["shared", int(index)] if 0 <= index < len(shared):
            return shared[index]
        case [("matches" | "contains" | "starts" | "ends") as how, str(subject), list(words)] if (
            subject in SUBJECTS and all(isinstance(word, str) for word in words)
        ):
            return _matches(subject, tuple(words)) if how == "matches" else _words(how, subject, words)
        case [("entropy" | "wordlike") as how, ("<" | "<=" | ">=") as operator, float() | int() as bound]:
            return _measure(entropy if how == "entropy" else wordlike, operator, float(bound))
    raise GuardDataError(f"A rule's filter has a form that is not known: {str(form)[:80]!r}.")


def _matches(subject: str, expressions: tuple[str, ...]) -> Predicate:
    def holds(candidate: Candidate) -> bool:
        text = candidate.subject(subject).encode("utf-8", "replace")
        return bool(text) and _compiled(expressions).search(text) is not None

    return holds


@lru_cache(maxsize=2048)
def _compiled(expressions: tuple[str, ...]) -> Any:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.log_errors = False
    try:
        return re2.compile("|".join(f"(?:{expression})" for expression in expressions).encode("utf-8"), options)
    except re2.error:
        raise GuardDataError("A rule's filter holds an expression that RE2 refuses.") from None


def _words(how: str, subject: str, words: Sequence[str]) -> Predicate:
    lower = tuple(word.lower() for word in words)
    if how == "contains":
        return lambda candidate: any(word in candidate.subject(subject).lower() for word in lower)
    if how == "starts":
        return lambda candidate: candidate.subject(subject).lower().startswith(lower)
    return lambda candidate: candidate.subject(subject).lower().endswith(lower)


def _measure(measure: Callable[[str], float], operator: str, bound: float) -> Predicate:
    if operator == "<":
        return lambda candidate: measure(candidate.value) < bound
    if operator == "<=":
        return lambda candidate: measure(candidate.value) <= bound
    return lambda candidate: measure(candidate.value) >= bound
