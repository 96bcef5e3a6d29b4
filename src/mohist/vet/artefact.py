"""What was fetched: files with their digests, and how far somebody vouches for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Standing = Literal["verified", "consistent", "unverified", "absent", "failed"]
"""`verified`: against keys that the registry publishes. `consistent`: against the certificate that came with it, which itself was not traced
to a root. `unverified`: there is one, and it was not checked. `absent`: there is none. `failed`: it does not fit the file."""


@dataclass(frozen=True, slots=True)
class Voucher:
    """A signature or an attestation of provenance."""

    standing: Standing
    what: str
    """One sentence for people."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """Source repository, workflow, key, as far as it names them."""

    def json(self) -> dict[str, Any]:
        """For the evidence file."""
        return {"standing": self.standing, "what": self.what, "facts": dict(self.facts)}


@dataclass(frozen=True, slots=True)
class Declared:
    """A file that a registry lists."""

    name: str
    """Of the package."""
    version: str
    file: str
    """Its name."""
    url: str
    digests: Mapping[str, str]
    """What the registry names: "sha512" -> hex."""
    role: Literal["main", "source", "platform", "other-platform"]
    signatures: tuple[tuple[str, str], ...] = ()
    """Key id and signature, of npm."""
    attestations: str = ""
    """Address of attestations."""
    integrity: str = ""
    """As the registry writes it; what npm's signatures sign."""
    platform: str = ""


@dataclass(frozen=True, slots=True)
class Artefact:
    """A file that was fetched and is what the registry names."""

    declared: Declared
    size_bytes: int
    digests: Mapping[str, str]
    checked: tuple[str, ...]
    """Which of the registry's digests it was compared with; empty: the registry names none."""
    signature: Voucher
    provenance: Voucher
    folder: str = ""
    """Where it is unpacked, below the tree."""

    def json(self) -> dict[str, Any]:
        """For the evidence file."""
        return {
            "name": self.declared.name,
            "version": self.declared.version,
            "file": self.declared.file,
            "url": self.declared.url,
            "role": self.declared.role,
            "platform": self.declared.platform,
            "bytes": self.size_bytes,
            "sha256": self.digests.get("sha256", ""),
            "sha512": self.digests.get("sha512", ""),
            "compared_with": list(self.checked),
            "signature": self.signature.json(),
            "provenance": self.provenance.json(),
            "folder": self.folder,
        }


@dataclass(frozen=True, slots=True)
class Listed:
    """What a registry says of one version of a package."""

    name: str
    version: str
    registry: str
    files: tuple[Declared, ...]
    dependencies: Mapping[str, str]
    """Name -> range, as declared."""
    manifest: Mapping[str, Any]
    """npm's manifest of the version; {} of PyPI."""
    notice: str = ""
    """Deprecated, yanked: what the registry says."""
    published: str = ""
    """When, as the registry says."""
