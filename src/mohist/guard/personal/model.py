"""Names and addresses by a model that a company has: what one must do, and how it is asked."""

from __future__ import annotations

import re
import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from time import thread_time_ns
from typing import Final, Literal

import xxhash

from mohist.guard.block import Block, Source
from mohist.guard.detector import Hit, Match, Pattern
from mohist.guard.errors import GuardError, GuardLimitError
from mohist.guard.limit import DEFAULT, Limits
from mohist.guard.personal.address import addresses
from mohist.guard.personal.named import Named, NameModel
from mohist.guard.personal.person import Context, persons
from mohist.guard.personal.prose import Passage, prose
from mohist.guard.view import View

VERSION: Final = "2"
"""Raise it with every change of what is made of a model's answers."""
UNREAD: Final = "unread.names"
"""The data class of a finding that says: the model did not see this."""
NOTE: Final = "by the model of names"

UNASKED: Final[frozenset[Source]] = frozenset({"assistant", "tool_call", "tool_schema", "metadata"})
"""What a model wrote its vendor has already, and names in it that were masked are masked there, too; the others are a program's."""
_READABLE: Final = frozenset({"escape", "url", "html", "quoted-printable", "base64", "base64+gzip", "hex", "utf-16"})
"""Encodings that programs put prose into; the others are undone to find what has a form, and make no sentences."""

KEPT_PASSAGES: Final = 8_192
"""Whose answers are kept: about 5 MB."""
_SURROGATES: Final = re.compile("[\ud800-\udfff]")

Failure = Literal["closed", "noted"]


Answer = tuple[Named, ...]


class NameDetector:
    """Shows a model the prose in a text and judges what it says.

    Args:
        model: recognises.
        limits: how much prose of one text it is shown (`max_names_chars`), and how long it may take for it (`max_names_ms`).
        failure: what happens to a text that it could not be asked about: "closed", an error; "noted", a finding that says so.
    """

    def __init__(self, model: NameModel, limits: Limits = DEFAULT, failure: Failure = "closed") -> None:
        self._model = model
        self._limits = limits
        self._failure = failure
        self._kept = _Kept()

    @property
    def name(self) -> str:
        return "name"

    @property
    def version(self) -> str:
        return f"{VERSION}.{self._model.version}"

    @property
    def patterns(self) -> Sequence[Pattern]:
        return ()

    def detect(self, view: View, block: Block, matches: Mapping[str, Sequence[Match]]) -> Iterable[Hit]:  # noqa: ARG002
        """See `Detector.detect`.

        Raises:
            GuardError: the model could not be asked, and that is not to be noted only.
        """
        if block.source in UNASKED or not _READABLE.issuperset(view.via):
            return
        asked = taken_ns = 0
        context = Context(view.text, block.path if block.source == "file" else "")
        for passage in prose(view.text):
            if view.via and passage.text in block.text:
                continue  # the plain reading has it
            asked += len(passage.text)
            try:
                if asked > self._limits.max_names_chars:
                    raise GuardLimitError(
                        f"A text holds more than {self._limits.max_names_chars} characters for the model of names.",
                        "Send it in smaller parts, or raise guard.limits.max_names_chars.",
                    )
                if taken_ns > self._limits.max_names_ms * 1_000_000:
                    raise GuardLimitError(
                        f"The model of names took more than {self._limits.max_names_ms} ms for one text.",
                        "Send it in smaller parts, or raise guard.limits.max_names_ms.",
                    )
                begun_ns = thread_time_ns()
                found = self._asked(passage)
                taken_ns += thread_time_ns() - begun_ns
            except GuardError as error:
                if self._failure == "closed":
                    raise
                start = passage.place(0)
                yield Hit("name.unread", UNREAD, start, len(view.text), 1.0, f"Not looked at for names: {error.what}")
                return
            yield from _judged(passage, found, context)

    def _asked(self, passage: Passage) -> Answer:
        # What holds a single surrogate is no text to most models.
        text = _SURROGATES.sub("\ufffd", passage.text)
        key = self._kept.key(text, self._model.version)
        kept = self._kept.get(key)
        if kept is not None:
            return kept
        try:
            found = tuple(one for one in self._model.named(text) if 0 <= one.start < one.end <= len(text))
        except GuardError:
            raise
        except Exception as error:  # noqa: BLE001 - a plug-in's boundary
            # What it says may hold the text, so that only its type is told.
            raise GuardError(f"The model of names failed: {type(error).__name__}.") from None
        self._kept.put(key, found)
        return found


class _Kept:
    """What a model said of a passage, so that a call which took too long gets on when it is tried again, and so that a file's
    many versions in a history cost what is new in each; the least lately used go first. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: OrderedDict[bytes, Answer] = OrderedDict()
        # As in `Cache`: nobody can make two passages that pass as one.
        self._seed = secrets.randbits(64)

    def key(self, text: str, version: str) -> bytes:
        return xxhash.xxh3_128_digest(f"{version}\0{text}".encode(), self._seed)

    def get(self, key: bytes) -> Answer | None:
        with self._lock:
            answer = self._answers.get(key)
            if answer is not None:
                self._answers.move_to_end(key)
            return answer

    def put(self, key: bytes, answer: Answer) -> None:
        with self._lock:
            self._answers[key] = answer
            while len(self._answers) > KEPT_PASSAGES:
                self._answers.popitem(last=False)


def _judged(passage: Passage, found: Sequence[Named], context: Context) -> Iterator[Hit]:
    placed = list(addresses(passage.text, found))
    for start, end, confidence in placed:
        yield _hit("address", passage, start, end, confidence)
    for start, end, confidence in persons(passage.text, found, context):
        # "12 Mill Lane": Ms Lane is none.
        if all(end <= first or last <= start for first, last, _ in placed):
            yield _hit("name", passage, start, end, confidence)


def _hit(sort: str, passage: Passage, start: int, end: int, confidence: float) -> Hit:
    return Hit(f"name.{sort}", f"personal.{sort}", passage.place(start), passage.place(end - 1) + 1, confidence, NOTE)
