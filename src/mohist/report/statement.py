"""in-toto statements about commits and releases, in signed DSSE envelopes.

Forms: https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md and
https://github.com/secure-systems-lab/dsse/blob/master/protocol.md (both 1.0). No predicate of the in-toto project speaks of AI-written
code as of 2026-08, so the one here has an address of its own, and stands in this file alone.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mohist.report.errors import ReportError
from mohist.report.map import Mapped

STATEMENT = "https://in-toto.io/Statement/v1"
AUTHORSHIP = "https://mohist.dev/attestation/authorship/v1"
SLSA = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "https://mohist.dev/build/delivery/v1"
PAYLOAD = "application/vnd.in-toto+json"
Signer = ec.EllipticCurvePrivateKey


def authorship(
    mapped: Mapped, origin: str, checkpoint: Mapping[str, Any], behind: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """What is known of a commit: which runs and models wrote how much of it, and who checked, reviewed and approved it.

    Args:
        mapped: the commit.
        origin: the ledger's name.
        checkpoint: size and root of the ledger, from which on the entries can be proved.
        behind: entries of its delivery, each with its index.
    """
    change, models = mapped.change, mapped.models
    runs = [{"run": run, "lines": count, "model": _model_of(mapped, run)} for run, count in sorted(mapped.runs.items())]
    decided = [
        {"entry": one["index"], "kind": one["kind"], "actor": one["actor"], "about": dict(one.get("about", {}))}
        for one in behind
        if one["kind"] in ("approval", "finding", "verdict")
    ]
    predicate = {
        "ledger": {"origin": origin, **checkpoint},
        "lines": sum(len(lines) for lines in mapped.lines.values()),
        "byRuns": sum(models.values()),
        "confidence": mapped.confidence,
        "methods": dict(sorted(mapped.methods.items())),
        "models": dict(sorted(models.items())),
        "runs": runs,
        "entries": mapped.entries,
        "decisions": decided,
    }
    return _statement(_subjects(change.commit, change.tree), AUTHORSHIP, predicate)


def provenance(
    subjects: Sequence[Mapping[str, Any]],
    commit: str,
    *,
    parameters: Mapping[str, Any],
    builder: str,
    invocation: str,
    started: str,
    finished: str,
) -> dict[str, Any]:
    """SLSA provenance (v1) of what was built from a commit.

    Args:
        subjects: what was built, each with name and digest.
        commit: built from.
        parameters: the command and what else decides what comes out.
        builder: its id, a URI.
        invocation: this build's id.
        started: RFC 3339.
        finished: RFC 3339.
    """
    predicate = {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": dict(parameters),
            "internalParameters": {},
            "resolvedDependencies": [{"digest": {"gitCommit": commit}}],
        },
        "runDetails": {
            "builder": {"id": builder},
            "metadata": {"invocationId": invocation, "startedOn": started, "finishedOn": finished},
        },
    }
    return _statement(subjects, SLSA, predicate)


def encoded(statement: Mapping[str, Any]) -> bytes:
    """As it is signed."""
    return json.dumps(statement, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode("utf-8", "replace")


def sealed(payload: bytes, key: Signer) -> dict[str, Any]:
    """A DSSE envelope; ECDSA on P-256 with SHA-256, which every verifier knows."""
    signature = key.sign(_signed(payload), ec.ECDSA(hashes.SHA256()))
    return {
        "payloadType": PAYLOAD,
        "payload": b64encode(payload).decode(),
        "signatures": [{"keyid": key_id(key.public_key()), "sig": b64encode(signature).decode()}],
    }


def opened(envelope: Mapping[str, Any], key: ec.EllipticCurvePublicKey) -> dict[str, Any]:
    """The statement in an envelope that this key signed.

    Raises:
        ReportError: it did not, or there is none in it.
    """
    try:
        payload = b64decode(envelope["payload"], validate=True)
        signatures = [b64decode(one["sig"], validate=True) for one in envelope["signatures"]]
        right = envelope["payloadType"] == PAYLOAD
    except (KeyError, TypeError, ValueError) as error:
        raise ReportError(f"This is no DSSE envelope: {error!r}.") from None
    for signature in signatures if right else ():
        try:
            key.verify(signature, _signed(payload), ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            continue
        found: dict[str, Any] = json.loads(payload)
        return found
    raise ReportError(
        "No signature of the envelope is this key's.", "Take the key from whom you trust, not from the bundle."
    )


def key_id(key: ec.EllipticCurvePublicKey) -> str:
    """SHA-256 of the public key's DER, hex."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return sha256(key.public_bytes(serialization.Encoding.DER, form)).hexdigest()


def _signed(payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding: type and payload, each behind its length."""
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD), PAYLOAD.encode(), len(payload), payload)


def _statement(subjects: Sequence[Mapping[str, Any]], kind: str, predicate: Mapping[str, Any]) -> dict[str, Any]:
    return {"_type": STATEMENT, "subject": list(subjects), "predicateType": kind, "predicate": dict(predicate)}


def _subjects(commit: str, tree: str) -> list[dict[str, Any]]:
    """The tree stays what it is when a commit is squashed or its message changes."""
    return [{"name": "commit", "digest": {"gitCommit": commit}}, {"name": "tree", "digest": {"gitTree": tree}}]


def _model_of(mapped: Mapped, run: str) -> str:
    for lines in mapped.lines.values():
        for one in lines:
            if one.write is not None and one.write.run == run:
                return one.write.model
    return ""
