"""Checks statements that were made of the ledger, wherever they were since: signed, and their digest entered."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mohist.app.projection import PUBLIC_KEY, statement_key
from mohist.report import ReportError, statement

__all__ = ["PUBLIC_KEY", "Checked", "checked", "read_key", "read_statements"]

MAX_BYTES = 64 * 1024 * 1024
"""Of a file with statements; a bill of materials of a large release has a few megabytes."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of a statement."""

    what: str
    """Its predicate or form."""
    about: Mapping[str, str]
    """Digests by their names: what it speaks of."""
    entry: int | None
    """Of the ledger, which holds its digest."""
    faults: tuple[str, ...]
    """Empty: it holds."""


def read_key(path: Path) -> ec.EllipticCurvePublicKey:
    """The public key of whom statements are believed.

    Raises:
        ReportError: there is none.
    """
    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except OSError as error:
        raise ReportError(f"The key {path} can't be read: {error.strerror}.", "Name it: --key FILE") from error
    except ValueError as error:
        raise ReportError(f"{path} is no public key in PEM.", "Name another: --key FILE") from error
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise ReportError(f"{path} is no key of the kind that signs statements, which is ECDSA.")
    return key


def read_statements(path: Path) -> list[dict[str, Any]]:
    """The statements of a file: one JSON object, or one in each line.

    Raises:
        ReportError: there are none.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ReportError(f"{path} is larger than {MAX_BYTES} bytes.")
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ReportError(f"{path} can't be read: {error}.") from error
    try:
        try:
            found = [json.loads(text)]
        except json.JSONDecodeError:
            found = [json.loads(line) for line in text.splitlines() if line.strip()]
    except (json.JSONDecodeError, RecursionError) as error:
        raise ReportError(f"{path} holds no statement: {error}.") from None
    if not found or not all(isinstance(one, dict) for one in found):
        raise ReportError(f"{path} holds no statement.", "Name an envelope or a bill of materials.")
    return found


def checked(
    value: Mapping[str, Any],
    key: ec.EllipticCurvePublicKey,
    entered: Callable[[str], Mapping[str, Any] | None],
) -> Checked:
    """Whether a statement is signed by whom it has to be, and its digest stands in the ledger.

    A bill of materials bears no signature: the ledger's word is all that it has.

    Args:
        value: a DSSE envelope, or CycloneDX.
        key: of whom statements are believed.
        entered: the entry that was drafted under a key of the ledger.
    """
    faults: list[str] = []
    if value.get("bomFormat") == "CycloneDX":
        what, about, payload = _bill(value)
    else:
        what, about, payload = "envelope", {}, b""
        try:
            payload = b64decode(value.get("payload", ""), validate=True)
            said = statement.opened(value, key)
            what, about = str(said.get("predicateType", "statement")), _subjects(said)
        except ReportError as error:
            faults.append(str(error))
        except (TypeError, ValueError):
            faults.append("It is no DSSE envelope, and no bill of materials.")
    found = entered(statement_key(sha256(payload).hexdigest())) if payload else None
    if payload and found is None:
        faults.append("Its digest is not in this ledger: it was changed since, or is of another ledger.")
    return Checked(what, about, None if found is None else found["index"], tuple(faults))


def _bill(value: Mapping[str, Any]) -> tuple[str, dict[str, str], bytes]:
    try:
        component = value["metadata"]["component"]
        about = {str(component["name"]): str(component["version"])}
    except (KeyError, TypeError):
        about = {}
    return f"CycloneDX {value.get('specVersion', '')}".strip(), about, statement.encoded(value)


def _subjects(said: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: str(digest) for subject in said.get("subject", ()) for name, digest in subject.get("digest", {}).items()
    }
