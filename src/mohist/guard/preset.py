"""The rules that come with Mohist, by name. A preset is the end of the owner's list: own rules stand above it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

from mohist.guard.block import Source
from mohist.guard.ruling import BLOCKING, MASKING, Rule

Preset = Literal["observe", "default", "strict"]

BY_PROGRAMS: Final[tuple[Source, ...]] = ("system", "tool_schema")
"""Nobody types these, so a sign that no keyboard has was put there by a program."""

_COVERT: Final = (
    # Below, it is what word processors and careful writers put into descriptions.
    Rule("covert-by-program", "note", classes=("covert",), sources=BY_PROGRAMS, min_confidence=MASKING, alarm=True),
    Rule("covert", "note", classes=("covert",)),
)
# Encodings within more encodings than are undone: nobody does that by chance, and nobody knows what is in it.
_UNREAD: Final = Rule("unread", "note", classes=("unread",), alarm=True)
_TRUSTED: Final = (
    # What the company's own machines get leaves nobody's hands.
    Rule(
        "own-machine", "note", direction="out", classes=("secret", "source", "document", "personal"), self_hosted=True
    ),
)
_ANSWER: Final = (
    # A picture's address is asked for as soon as an answer is shown: what stands in it is sent without a click.
    Rule("exfiltration", "mask", direction="in", classes=("exfiltration",), alarm=True),
    Rule("answer", "note", direction="in"),
)

PRESETS: Final[Mapping[Preset, tuple[Rule, ...]]] = MappingProxyType(
    {
        "observe": (Rule("everything", "note"),),
        "default": (
            *_TRUSTED,
            *_ANSWER,
            Rule("secret", "block", classes=("secret",), min_confidence=BLOCKING),
            # Masked and not only noted: a placeholder is put back where the model edits a file, so a mistake costs little,
            # and most real leaks are of passwords and keys that have no format to be sure of.
            Rule("likely-secret", "mask", classes=("secret",), min_confidence=MASKING),
            Rule("doubtful-secret", "note", classes=("secret",)),
            Rule("restricted-source", "block", classes=("source.restricted",), min_confidence=BLOCKING),
            Rule("source", "note", classes=("source", "document")),
            *_COVERT,
            _UNREAD,
            Rule("personal", "note", classes=("personal",)),
            Rule("injection", "note", classes=("injection",)),
        ),
        "strict": (
            Rule("own-machine-secret", "mask", direction="out", classes=("secret",), self_hosted=True, min_confidence=MASKING),
            *_TRUSTED,
            *_ANSWER,
            Rule("secret", "block", classes=("secret",), min_confidence=MASKING),
            Rule("doubtful-secret", "mask", classes=("secret",)),
            Rule("restricted-source", "block", classes=("source", "document"), min_confidence=MASKING),
            Rule("source", "note", classes=("source", "document")),
            Rule("covert-by-program", "mask", classes=("covert",), sources=BY_PROGRAMS, min_confidence=MASKING, alarm=True),
            Rule("covert", "mask", classes=("covert",), min_confidence=MASKING),
            Rule("doubtful-covert", "note", classes=("covert",)),
            Rule("personal", "mask", classes=("personal",), min_confidence=MASKING),
            Rule("doubtful-personal", "note", classes=("personal",)),
            Rule("unread", "ask", classes=("unread",), alarm=True),
            Rule("injection", "ask", classes=("injection",), min_confidence=BLOCKING),
            Rule("doubtful-injection", "note", classes=("injection",)),
        ),
    }
)  # fmt: skip
