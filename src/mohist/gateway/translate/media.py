"""Pictures and files as data URLs, and plain text files as text."""

from __future__ import annotations

import base64
import binascii
import re

from mohist.gateway.translate.field import refused
from mohist.gateway.translate.form import Document

# RFC 2397; parameters other than base64 are not needed by any of the three dialects.
_DATA_URL = re.compile(r"data:([A-Za-z0-9.+/-]{1,127});base64,")


def split_data_url(url: str, path: str) -> tuple[str, str] | None:
    """Media type and base64 of a data URL; None when it is another kind of address.

    Raises:
        RefusedError: a data URL without base64.
    """
    if url[:5].lower() != "data:":
        return None
    match = _DATA_URL.match(url)
    if match is None:
        raise refused(path, "must be an address, or a data URL of the form `data:TYPE;base64,…`.")
    return match[1], url[match.end() :]


def data_url(media_type: str, data: str) -> str:
    """Base64 content as an address."""
    return f"data:{media_type or 'application/octet-stream'};base64,{data}"


def encoded(text: str) -> str:
    """A text file as base64."""
    return base64.b64encode(text.encode("utf-8", "surrogatepass")).decode()


def plain_text(document: Document) -> str | None:
    """The text of a text file, with its name; None for files of other kinds."""
    if not document.data or not document.media_type.startswith("text/"):
        return None
    try:
        text = base64.b64decode(document.data, validate=True).decode("utf-8", "surrogatepass")
    except (binascii.Error, ValueError):
        return None
    return f"{document.name}:\n{text}" if document.name else text
