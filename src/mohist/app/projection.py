"""What is made of the ledger for others to read: notes, statements, bills of materials. All of it can be made again."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from anyio import to_thread
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mohist.app.evidence import Evidence
from mohist.app.inquiry import Inquiry
from mohist.app.presence import make_once
from mohist.ledger import Draft, LedgerError
from mohist.report import NoSuchLineError, material, note, statement
from mohist.report.map import Mapped

KEY = "attestation.key"
"""In the ledger's folder: P-256, PEM. Made once; its public part stands beside it."""
PUBLIC_KEY = "attestation.pub"


@dataclass(frozen=True, slots=True)
class Noted:
    """What came of writing notes."""

    ref: str
    written: int
    others: list[str]
    """Commits that carry another program's note, which stays."""


async def write_notes(asked: Inquiry, commits: Sequence[str]) -> list[Noted]:
    """Notes for `git-ai` and in Agent Trace's form, in the user's repository.

    Raises:
        GitError: they could not be written.
    """
    texts: dict[str, dict[str, str]] = {note.GIT_AI_REF: {}, note.TRACE_REF: {}}
    async for mapped in asked.mapped(commits):
        if text := note.git_ai(mapped, asked.origin):
            texts[note.GIT_AI_REF][mapped.change.commit] = text
        if text := note.agent_trace(mapped, asked.origin):
            texts[note.TRACE_REF][mapped.change.commit] = text
    at_s = int(time.time())
    return [Noted(ref, *await note.write_notes(asked.git, ref, notes, at_s)) for ref, notes in texts.items()]


def statement_key(digest: str) -> str:
    """The key of the entry that holds a statement's digest (SHA-256, hex)."""
    return f"statement/{digest}"


async def attest(asked: Inquiry, evidence: Evidence, mapped: Mapped, stream: str = "") -> tuple[dict[str, Any], int]:
    """A signed statement about a commit, and the index of the entry that holds its digest.

    Args:
        asked: the repository and its ledger.
        evidence: where its digest is entered.
        mapped: the commit.
        stream: of that entry; empty: the repository's.

    Raises:
        LedgerError: its digest is not entered.
    """
    made = statement.authorship(mapped, asked.origin, asked.extent(), asked.behind(mapped))
    payload = statement.encoded(made)
    envelope = statement.sealed(payload, signing_key(evidence.home.folder))
    change = mapped.change
    draft = _stated(
        stream or evidence.name("repository", str(asked.root)),
        payload,
        {"commit": change.commit, "tree": change.tree},
        what="attestation",
        predicate=made["predicateType"],
        keyid=envelope["signatures"][0]["keyid"],
    )
    receipt = await to_thread.run_sync(evidence.append, draft)
    return envelope, receipt.index


def enter_bill(evidence: Evidence, made: Mapping[str, Any], stream: str) -> int:
    """Enters the digest of a bill of materials, whatever blanks it is shown with; the index of its entry.

    Raises:
        LedgerError: it is not entered.
    """
    component = made["metadata"]["component"]
    about = {"release": component["name"], "version": component["version"]}
    form = f"{made['bomFormat']} {made['specVersion']}"
    return evidence.append(_stated(stream, statement.encoded(made), about, what="materials", predicate=form)).index


def enter_provenance(evidence: Evidence, made: Mapping[str, Any], envelope: Mapping[str, Any]) -> int:
    """Enters the digest of a build's provenance in its delivery's stream; the index of its entry.

    Raises:
        LedgerError: it is not entered.
    """
    (subject,) = made["subject"]
    draft = _stated(
        f"delivery:{subject['name']}",
        statement.encoded(made),
        {"delivery": subject["name"], "artefact": subject["digest"]["dirHash1"]},
        what="provenance",
        predicate=made["predicateType"],
        keyid=envelope["signatures"][0]["keyid"],
    )
    return evidence.append(draft).index


def _stated(stream: str, payload: bytes, about: Mapping[str, str], **said: str) -> Draft:
    digest = sha256(payload).hexdigest()
    return Draft(
        "export", stream, "system:trace", about=about, data={**said, "sha256": digest}, key=statement_key(digest)
    )


async def bill(asked: Inquiry, commits: Sequence[str], version: str = "") -> dict[str, Any]:
    """The bill of materials of these commits."""
    mapped = [one async for one in asked.mapped(commits)]
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    version = version or (commits[-1] if commits else "")
    return material.bill(
        mapped, name=asked.root.name, version=version, origin=asked.origin, at=at, entry_of=asked.entry
    )


def provenance(asked: Inquiry, evidence: Evidence, delivery_id: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """SLSA provenance of each artefact that a delivery built, from its entries: the statement, and its signed envelope.

    Raises:
        NoSuchLineError: it built none, or built it before its digest was entered.
    """
    begun: dict[str, dict[str, Any]] = {}
    made = []
    for entry in asked.stream(f"delivery:{delivery_id}"):
        data = entry.get("data", {})
        if entry["kind"] == "tool.intent" and data.get("effect") == "artefact":
            begun[entry["key"]] = entry
        elif entry["kind"] == "tool.result" and "dir_hash" in data:
            start = begun[entry["about"]["intent"]]
            commit = start["data"]["step"].rpartition("/")[2]
            made.append(
                statement.provenance(
                    [{"name": delivery_id, "digest": {"dirHash1": data["dir_hash"]}}],
                    commit,
                    parameters={"command": data.get("build", ""), "delivery": delivery_id},
                    builder=f"urn:mohist:{asked.origin}",
                    invocation=f"urn:mohist:{asked.origin}:{entry['index']}",
                    started=_moment(start["at"]),
                    finished=_moment(entry["at"]),
                )
            )
    if not made:
        raise NoSuchLineError(f"No artefact of a delivery {delivery_id!r} is in the ledger.", "Name one that deployed.")
    key = signing_key(evidence.home.folder)
    return [(one, statement.sealed(statement.encoded(one), key)) for one in made]


def _moment(at_us: int) -> str:
    return datetime.fromtimestamp(at_us / 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _new_key() -> bytes:
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def signing_key(folder: Path) -> ec.EllipticCurvePrivateKey:
    """The key of statements; made at the first one.

    Raises:
        LedgerError: it can't be read or kept, or others may read it.
    """
    path = folder / KEY
    try:
        make_once(path, _new_key)
        if path.stat().st_mode & 0o077:
            raise LedgerError(f"Others may read the key {path}.", f"chmod 600 {path}")
        key = serialization.load_pem_private_key(path.read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise LedgerError(f"{path} is no P-256 key.", "Restore it, or remove it: a new one is made.")
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        (folder / PUBLIC_KEY).write_bytes(public)
    except (OSError, ValueError) as error:
        raise LedgerError(f"The key of statements {path} can't be used: {error}.") from error
    return key
