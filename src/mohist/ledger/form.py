"""Drafts on their way to whoever writes: as JSON, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from mohist.ledger.entry import Content, Draft, Sealed
from mohist.ledger.errors import EntryError
from mohist.ledger.store import Ready, SealedContent


def written(draft: Draft) -> dict[str, Any]:
    """A draft without its contents."""
    return {
        "kind": draft.kind,
        "stream": draft.stream,
        "actor": draft.actor,
        "for": draft.on_behalf_of,
        "about": dict(draft.about),
        "data": dict(draft.data),
        "key": draft.key,
    }


def read(value: Mapping[str, Any], contents: tuple[Content, ...] = ()) -> Draft:
    """The draft that was written.

    Raises:
        KeyError: part of it is missing.
    """
    return Draft(
        kind=value["kind"],
        stream=value["stream"],
        actor=value["actor"],
        on_behalf_of=value["for"],
        about=value["about"],
        data=value["data"],
        key=value["key"],
        contents=contents,
    )


def pack(batch: Sequence[Ready]) -> bytes:
    """Sealed drafts in one piece; of their contents only what their entries name.

    Raises:
        EntryError: one can't be written as JSON.
    """
    value = [
        {
            **written(ready.draft),
            "at": ready.at_us,
            "retry": ready.retry_key,
            "sealed": [
                [one.name, one.media, one.size_bytes, one.digest, one.commitment, one.key_id]
                for one in (content.sealed for content in ready.contents)
            ],
        }
        for ready in batch
    ]
    try:
        return orjson.dumps(value)
    except (TypeError, ValueError):
        pass
    try:
        return orjson.dumps(_spelled(value))
    except (TypeError, ValueError) as error:
        raise EntryError(f"An entry can't be written as JSON: {error}.", audience="bug") from error


def unpack(data: bytes) -> list[Ready]:
    """What was packed; contents without key and ciphertext.

    Raises:
        EntryError: it is none of this.
    """
    try:
        return [
            Ready(
                read(value),
                tuple(SealedContent(Sealed(*one), b"", b"") for one in value["sealed"]),
                value["at"],
                value["retry"],
            )
            for value in orjson.loads(data)
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise EntryError(
            f"What was handed to the ledger is no entry: {type(error).__name__}.", audience="bug"
        ) from error


def _spelled(value: Any) -> Any:
    """The same, where half a surrogate pair, as file names can hold one and JSON can't, is what entries make of it."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, Mapping):
        return {name: _spelled(each) for name, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [_spelled(each) for each in value]
    return value
