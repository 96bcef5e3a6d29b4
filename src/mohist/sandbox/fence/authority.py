"""A certificate authority that lives as long as its fence: its key is in memory alone, and nobody else trusts it."""

from __future__ import annotations

import datetime as dt
import os
import ssl
from functools import lru_cache
from typing import TYPE_CHECKING

from mohist.sandbox.fence.address import address_of

if TYPE_CHECKING:  # loaded where an authority is made: most of Mohist does without
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

_LIFE = dt.timedelta(days=2)
_BEFORE = dt.timedelta(days=1)
_HOSTS = 1024


class Authority:
    """Makes a certificate for whatever host is asked for.

    Args:
        now: names the moment around which certificates are valid; None takes the machine's.
    """

    def __init__(self, now: dt.datetime | None = None) -> None:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import NameOID

        self._now = now or dt.datetime.now(dt.UTC)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Mohist fence")])
        usage = x509.KeyUsage(
            digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False,
            key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False,
            decipher_only=False,
        )  # fmt: skip
        identifier = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        certificate = (
            self._builder(self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(identifier, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        self._identifier = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
        self.pem = certificate.public_bytes(serialization.Encoding.PEM)
        """The certificate that programs inside are told to trust."""
        self._leaf_key = ec.generate_private_key(ec.SECP256R1())
        self.context = lru_cache(_HOSTS)(self._make_context)
        """`context(host)`: an SSLContext for a server that speaks as `host`, offering HTTP/1.1 alone."""

    def __repr__(self) -> str:
        return "Authority()"

    def _make_context(self, host: str) -> ssl.SSLContext:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

        address = address_of(host)
        shown = x509.DNSName(host) if address is None else x509.IPAddress(address)
        common = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host[:64])])
        certificate = (
            self._builder(common, self._leaf_key.public_key())
            .add_extension(x509.SubjectAlternativeName([shown]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(self._identifier, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        self._load(context, certificate.public_bytes(serialization.Encoding.PEM) + self.pem)
        return context

    def _load(self, context: ssl.SSLContext, chain: bytes) -> None:
        """By a file in memory that has no name: the module `ssl` reads keys from files alone."""
        from cryptography.hazmat.primitives import serialization

        key = self._leaf_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        fd = os.memfd_create("leaf")
        try:
            os.write(fd, key + chain)
            context.load_cert_chain(f"/proc/self/fd/{fd}")
        finally:
            os.close(fd)

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        from cryptography import x509

        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now - _BEFORE)
            .not_valid_after(self._now + _LIFE)
        )
