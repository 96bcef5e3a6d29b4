"""Checks who vouches for a file: npm's signatures, and attestations of provenance (npm's, and PyPI's of PEP 740).

What is checked of an attestation: its signature by the certificate that comes with it, and that it names the file's digest. Whether that
certificate leads to a root, and whether the log has it, is not: that takes roots that change, so the standing says "consistent", not "verified".
Sources: https://docs.npmjs.com/about-registry-signatures, https://github.com/secure-systems-lab/dsse, https://peps.python.org/pep-0740/.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from mohist.vet.artefact import Declared, Voucher
from mohist.vet.errors import RegistryError
from mohist.vet.registry.fetch import Fetcher

_JSON = "application/json"
_INTEGRITY = "application/vnd.pypi.integrity.v1+json"
_STATEMENT = "application/vnd.in-toto+json"
_ISSUER = "1.3.6.1.4.1.57264.1.8"
"""Fulcio's extension that names who identified the signer (https://github.com/sigstore/fulcio/blob/main/docs/oid-info.md)."""
_SHOWN = 8


async def npm_signature(fetch: Fetcher, registry: str, declared: Declared) -> Voucher:
    """Whether one of the registry's published keys signed name, version and integrity of a package."""
    if not declared.signatures:
        return Voucher("absent", "The registry gives no signature for this file.")
    url = registry + "-/npm/v1/keys"
    try:
        answer = await fetch.ask(url, _JSON)
        listed = answer.json(url).get("keys") if answer.status == 200 else None
    except (RegistryError, AttributeError):
        listed = None
    if not isinstance(listed, list):
        return Voucher(
            "unverified",
            "There is a signature; the registry publishes no keys to check it with.",
            {"key": declared.signatures[0][0]},
        )
    keys = {str(key.get("keyid")): str(key.get("key")) for key in listed if isinstance(key, dict)}
    message = f"{declared.name}@{declared.version}:{declared.integrity}".encode()
    for key_id, signature in declared.signatures:
        if key_id in keys:
            good = _signed(_public(keys[key_id]), signature, message)
            what = "signed" if good else "signed name, version and digest differently"
            return Voucher(
                "verified" if good else "failed", f"A key that the registry publishes {what}.", {"key": key_id}
            )
    return Voucher(
        "unverified",
        "There is a signature, by a key that the registry does not publish.",
        {"key": declared.signatures[0][0]},
    )


async def npm_provenance(fetch: Fetcher, declared: Declared, digests: Mapping[str, str]) -> Voucher:
    """What npm's attestations say of where a package was built."""
    if not declared.attestations:
        return Voucher("absent", "The registry names no attestation of provenance.")
    try:
        answer = await fetch.ask(declared.attestations, _JSON)
        document = answer.json(declared.attestations) if answer.status == 200 else {}
    except RegistryError as error:
        return Voucher("unverified", f"The attestation can't be had: {error.what}")
    entries = document.get("attestations") if isinstance(document, dict) else None
    for entry in entries if isinstance(entries, list) else ():
        if not isinstance(entry, dict) or "provenance" not in str(entry.get("predicateType", "")):
            continue
        bundle = entry.get("bundle")
        envelope = _part(bundle, "dsseEnvelope")
        signatures = envelope.get("signatures")
        signature = (
            signatures[0].get("sig", "")
            if isinstance(signatures, list) and signatures and isinstance(signatures[0], dict)
            else ""
        )
        material = _part(bundle, "verificationMaterial")
        certificate = str(_part(material, "certificate").get("rawBytes", ""))
        chain = _part(material, "x509CertificateChain").get("certificates")
        if not certificate and isinstance(chain, list) and chain and isinstance(chain[0], dict):
            certificate = str(chain[0].get("rawBytes", ""))
        return _judged(
            str(envelope.get("payload", "")),
            str(signature),
            certificate,
            str(envelope.get("payloadType", _STATEMENT)),
            digests,
        )
    return Voucher("unverified", "The registry names an attestation, and none of provenance is there.")


async def pypi_provenance(fetch: Fetcher, declared: Declared, digests: Mapping[str, str]) -> Voucher:
    """What PyPI's attestations (PEP 740) say of where a file was built."""
    if not declared.attestations:
        return Voucher("absent", "The index names no attestation of provenance.")
    try:
        answer = await fetch.ask(declared.attestations, _INTEGRITY)
        document = answer.json(declared.attestations) if answer.status == 200 else {}
    except RegistryError as error:
        return Voucher("unverified", f"The attestation can't be had: {error.what}")
    bundles = document.get("attestation_bundles") if isinstance(document, dict) else None
    for bundle in bundles if isinstance(bundles, list) else ():
        attestations = bundle.get("attestations") if isinstance(bundle, dict) else None
        for attestation in attestations if isinstance(attestations, list) else ():
            envelope = _part(attestation, "envelope")
            certificate = str(_part(attestation, "verification_material").get("certificate", ""))
            voucher = _judged(
                str(envelope.get("statement", "")), str(envelope.get("signature", "")), certificate, _STATEMENT, digests
            )
            publisher = {
                f"publisher {key}": str(value)
                for key, value in _part(bundle, "publisher").items()
                if isinstance(value, str)
            }
            return Voucher(voucher.standing, voucher.what, {**publisher, **voucher.facts})
    return Voucher("unverified", "The index names an attestation, and none is there.")


def _judged(payload: str, signature: str, certificate: str, kind: str, digests: Mapping[str, str]) -> Voucher:
    try:
        statement = base64.b64decode(payload, validate=True)
        document = json.loads(statement)
        raw = base64.b64decode(certificate, validate=True)
    except (binascii.Error, ValueError):
        return Voucher("failed", "The attestation is not of the form that it should have.")
    facts = _named(document)
    subjects = document.get("subject") if isinstance(document, dict) else None
    fits = any(
        isinstance(subject, dict)
        and any(digests.get(name) == value for name, value in _part(subject, "digest").items())
        for subject in (subjects if isinstance(subjects, list) else ())
    )
    if not fits:
        return Voucher("failed", "The attestation names another file than this one.", facts)
    key, identity = _certified(raw)
    facts |= identity
    encoded = kind.encode("utf-8")
    # DSSE v1, pre-authentication encoding.
    message = b"DSSEv1 %d %s %d %s" % (len(encoded), encoded, len(statement), statement)
    if key is None or not _signed(key, signature, message):
        return Voucher("failed", "The attestation's signature does not fit the certificate that came with it.", facts)
    return Voucher(
        "consistent",
        "The attestation names this file, and is signed by the certificate that came with it; that certificate was not traced to a root.",
        facts,
    )


def _named(document: Any) -> dict[str, str]:
    """The source and the build that a statement names."""
    predicate = _part(document, "predicate")
    workflow = _part(_part(_part(predicate, "buildDefinition"), "externalParameters"), "workflow")
    builder = _part(_part(predicate, "runDetails"), "builder") or _part(predicate, "builder")
    named = {
        "predicate": str(document.get("predicateType", "")) if isinstance(document, dict) else "",
        **workflow,
        "builder": builder.get("id", ""),
    }
    return {key: value for key, value in list(named.items())[:_SHOWN] if isinstance(value, str) and value}


def _certified(raw: bytes) -> tuple[Any, dict[str, str]]:
    """A certificate's key, and whom it names."""
    from cryptography import x509
    from cryptography.x509.oid import ObjectIdentifier

    try:
        certificate = (
            x509.load_pem_x509_certificate(raw) if raw.startswith(b"-----") else x509.load_der_x509_certificate(raw)
        )
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        identity = {"signer": ", ".join(str(name.value) for name in names)}
        try:
            issuer = certificate.extensions.get_extension_for_oid(ObjectIdentifier(_ISSUER)).value
            identity["identified by"] = getattr(issuer, "value", b"")[2:].decode("utf-8", "replace")
        except x509.ExtensionNotFound:
            pass
        return certificate.public_key(), identity
    except (ValueError, x509.ExtensionNotFound):
        return None, {}


def _public(key: str) -> Any:
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    try:
        return load_der_public_key(base64.b64decode(key))
    except (ValueError, binascii.Error):
        return None


def _signed(key: Any, signature: str, message: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256

    if not isinstance(key, ec.EllipticCurvePublicKey):
        return False
    try:
        key.verify(base64.b64decode(signature), message, ec.ECDSA(SHA256()))
    except (InvalidSignature, ValueError, binascii.Error):
        return False
    return True


def _part(value: Any, key: str) -> dict[str, Any]:
    part = value.get(key) if isinstance(value, dict) else None
    return part if isinstance(part, dict) else {}
