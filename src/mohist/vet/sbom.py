"""A bill of materials of what was fetched, as CycloneDX 1.6 JSON (https://cyclonedx.org/docs/1.6/json/).

Components are what is in the artefact: packages that it bundles, native programs, and what it declares that others would add. The latter
have no version of their own, for which one it would be is decided when it is installed; the range is a property.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote
from uuid import NAMESPACE_URL, uuid5

from mohist import __version__
from mohist.base import canonical_json, sha256_hex
from mohist.vet.artefact import Artefact
from mohist.vet.hook import read_manifest
from mohist.vet.registry.pypi import normal_name

FORM = "1.6"
_HASHES = {"sha256": "SHA-256", "sha512": "SHA-512", "sha1": "SHA-1"}
_METADATA_BYTES = 1024 * 1024


def bill(
    kind: str,
    name: str,
    version: str,
    artefacts: Sequence[Artefact],
    declared: Mapping[str, str],
    bundled: Sequence[dict[str, Any]],
    natives: Sequence[tuple[str, str]],
    at: str,
) -> dict[str, Any]:
    """The bill.

    Args:
        kind: "npm", "pypi", or another kind of subject.
        name: of the subject.
        version: of it; may be empty.
        artefacts: what was fetched.
        declared: name -> range of what it depends on.
        bundled: components that are in it, from `components`.
        natives: file and SHA-256 of native programs.
        at: when, RFC 3339; empty: not said, so that two bills of one artefact are alike.
    """
    root: dict[str, Any] = {"type": "application", "bom-ref": "subject", "name": name}
    if version:
        root["version"] = version
    if kind in ("npm", "pypi"):
        root["purl"] = package_url(kind, name, version)
    if artefacts:
        root["hashes"] = _hashes(artefacts[0])
    needed = [
        {
            "type": "library",
            "bom-ref": f"declared:{needed}",
            "name": needed,
            "scope": "required",
            **({"purl": package_url(kind, needed, "")} if kind in ("npm", "pypi") else {}),
            "properties": [{"name": "mohist:declared-range", "value": range_}],
        }
        for needed, range_ in sorted(declared.items())
    ]
    files = [
        {"type": "file", "bom-ref": f"file:{where}", "name": where, "hashes": [{"alg": "SHA-256", "content": digest}]}
        for where, digest in natives
    ]
    others = [
        {"type": "file", "bom-ref": f"artefact:{one.declared.file}", "name": one.declared.file, "hashes": _hashes(one)}
        for one in artefacts
    ]
    components = _unique([*others, *bundled, *files, *needed])
    identity = sha256_hex(
        canonical_json(
            [kind, name, version, [dict(one.digests) for one in artefacts], [c["bom-ref"] for c in components]]
        )
    )
    return {
        "$schema": f"http://cyclonedx.org/schema/bom-{FORM}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": FORM,
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, identity)}",
        "version": 1,
        "metadata": {
            **({"timestamp": at} if at else {}),
            "tools": {"components": [{"type": "application", "name": "mohist", "version": __version__}]},
            "component": root,
        },
        "components": components,
        "dependencies": [{"ref": "subject", "dependsOn": sorted(component["bom-ref"] for component in components)}],
    }


def components(tree: Path, files: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """The packages that lie in a tree: folders of node_modules and of site-packages, and vendored ones that say what they are."""
    for path in files:
        where = path.relative_to(tree).as_posix()
        if path.name == "package.json" and "node_modules" in PurePosixPath(where).parts:
            manifest = read_manifest(path)
            name, version = manifest.get("name"), manifest.get("version")
            if isinstance(name, str) and isinstance(version, str) and name and version:
                yield _component("npm", name, version, where, manifest.get("license"))
        elif path.name == "METADATA" and path.parent.name.endswith(".dist-info"):
            name, version, spoken = _metadata(path)
            if name and version:
                yield _component("pypi", name, version, where, spoken)


def requirements(files: Sequence[Path]) -> dict[str, str]:
    """What wheels and source packages declare to need: name -> range and marker. Of extras only what is asked for without any."""
    found: dict[str, str] = {}
    for path in files:
        if path.name in ("METADATA", "PKG-INFO"):
            try:
                with path.open("rb") as file:
                    text = file.read(_METADATA_BYTES).decode("utf-8", "replace")
            except OSError:
                continue
            for needed in HeaderParser().parsestr(text, headersonly=True).get_all("Requires-Dist") or ():
                if "extra ==" not in needed and "extra==" not in needed:
                    name = needed.split(";")[0].strip()
                    stop = next(
                        (at for at, letter in enumerate(name) if not (letter.isalnum() or letter in "-_.")), len(name)
                    )
                    found.setdefault(normal_name(name[:stop]), needed[stop:].strip())
    return found


def package_url(kind: str, name: str, version: str) -> str:
    """A package's address (https://github.com/package-url/purl-spec)."""
    plain = normal_name(name) if kind == "pypi" else name
    return f"pkg:{kind}/{quote(plain, safe='/')}" + (f"@{quote(version, safe='')}" if version else "")


def as_bytes(document: Mapping[str, Any]) -> bytes:
    """The bill as a file."""
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def _component(kind: str, name: str, version: str, where: str, spoken: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "type": "library",
        "bom-ref": f"{package_url(kind, name, version)}#{where}",
        "name": name,
        "version": version,
        "purl": package_url(kind, name, version),
        "properties": [{"name": "mohist:where", "value": where}],
    }
    if isinstance(spoken, str) and spoken and len(spoken) <= 200:
        made["licenses"] = [{"license": {"name": spoken}}]
    return made


def _metadata(path: Path) -> tuple[str, str, str]:
    try:
        with path.open("rb") as file:
            headers = HeaderParser().parsestr(file.read(_METADATA_BYTES).decode("utf-8", "replace"), headersonly=True)
    except OSError:
        return "", "", ""
    return str(headers.get("Name", "")), str(headers.get("Version", "")), str(headers.get("License-Expression", ""))


def _hashes(artefact: Artefact) -> list[dict[str, str]]:
    return [
        {"alg": _HASHES[name], "content": value} for name, value in sorted(artefact.digests.items()) if name in _HASHES
    ]


def _unique(components: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return list({component["bom-ref"]: component for component in components}.values())
