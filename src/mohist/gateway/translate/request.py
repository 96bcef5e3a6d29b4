"""A request of one dialect as a request of another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mohist.gateway.call import Dialect
from mohist.gateway.request import bad_request
from mohist.gateway.translate import chat_ask, chat_body, messages_ask, messages_body, responses_ask, responses_body
from mohist.gateway.translate.field import UnsayableError
from mohist.gateway.translate.form import Ask
from mohist.gateway.translate.name import Names
from mohist.gateway.translate.option import Options
from mohist.gateway.translate.wish import Omitted

_CLIENT_NAMES: Mapping[tuple[Dialect, str], str] = {
    ("anthropic-messages", "stop"): "stop_sequences",
    ("openai-responses", "response_format.type"): "text.format.type",
}
"""What a client calls a field that is called otherwise in Chat."""

_MAX_NAME_CHARS = 120

_READERS: Mapping[Dialect, Callable[[Mapping[str, Any], frozenset[str]], Ask]] = {
    "openai-chat": chat_ask.read,
    "openai-responses": responses_ask.read,
    "anthropic-messages": messages_ask.read,
}
_WRITERS: Mapping[Dialect, Callable[[Ask, str, Options, Names, Omitted], dict[str, Any]]] = {
    "openai-chat": chat_body.write,
    "openai-responses": responses_body.write,
    "anthropic-messages": messages_body.write,
}


@dataclass(frozen=True, slots=True)
class Translated:
    """A request in the upstream's dialect, and what its answer's way back needs."""

    body: dict[str, Any]
    """Shares unchanged parts, such as schemas, with the client's; don't change it."""
    omitted: tuple[str, ...]
    """What was left out without changing what the answer means, by name; printable ASCII."""
    names: Names
    """The tools' names there and back."""
    ask: Ask
    """The request in no dialect's words."""


def translate_request(
    body: Mapping[str, Any], source: Dialect, target: Dialect, model: str, options: Options
) -> Translated:
    """The upstream's request for a client's.

    The same body and options give the same request, and bodies that begin with the same messages give requests that
    do, so that the upstream's prompt cache stays hot.

    Args:
        body: the client's JSON.
        source: the client's dialect.
        target: the upstream's dialect.
        model: what the upstream calls the model.
        options: what the upstream can do.

    Raises:
        RefusedError: 400; its message names the field that can't be translated and says what to do.
    """
    try:
        ask = _READERS[source](body, options.leave_out)
        same = source == target == "openai-responses"
        names = Names.same(ask.tools) if same else Names.of(ask.tools)
        omitted: Omitted = dict.fromkeys(ask.omitted)
        written = _WRITERS[target](ask, model, options, names, omitted)
    except UnsayableError as error:
        name = _CLIENT_NAMES.get((source, error.field), error.field)
        raise bad_request(
            f"`{name}` can't be said in {error.target}, which the upstream speaks. {error.mend}"
        ) from None
    except RecursionError:
        raise bad_request("The request is nested too deep to be translated.") from None
    return Translated(written, tuple(_header(name) for name in omitted), names, ask)


def _header(name: str) -> str:
    """A name that a response header can hold."""
    return "".join(sign if " " <= sign <= "~" and sign != "," else "?" for sign in name[:_MAX_NAME_CHARS])
