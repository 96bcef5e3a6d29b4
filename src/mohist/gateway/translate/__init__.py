"""Calls from one dialect into another, and answers back.

Pure: JSON values in, JSON values out, no I/O. What a dialect can't express is refused by the name of its field; it is
never dropped unsaid. Calls of one dialect to the same dialect don't come here: their bytes go through as they are.
"""

from __future__ import annotations

from mohist.gateway.translate.answer import StreamTranslator, translate_reply
from mohist.gateway.translate.errors import AnswerError
from mohist.gateway.translate.facts import AskFacts
from mohist.gateway.translate.fault import translate_error
from mohist.gateway.translate.form import Effort
from mohist.gateway.translate.name import Names
from mohist.gateway.translate.option import Options, ThinkingStyle
from mohist.gateway.translate.request import Translated, translate_request

__all__ = [
    "AnswerError",
    "AskFacts",
    "Effort",
    "Names",
    "Options",
    "StreamTranslator",
    "ThinkingStyle",
    "Translated",
    "translate_error",
    "translate_reply",
    "translate_request",
]
