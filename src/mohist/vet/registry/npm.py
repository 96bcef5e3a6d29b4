"""Asks an npm registry (https://github.com/npm/registry/blob/main/docs/REGISTRY-API.md) for one version of a package."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urljoin

from mohist.vet.artefact import Declared, Listed
from mohist.vet.errors import RegistryError, SubjectError
from mohist.vet.registry.fetch import Fetcher
from mohist.vet.registry.platform import Platform
from mohist.vet.subject import Subject

_JSON = "application/json"
_EXACT = re.compile(r"=?v?(\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?)")
_ALIAS = re.compile(r"npm:((?:@[^/]+/)?[^@]+)@(.+)")
_NEWEST_SHOWN = 5


async def listed(fetch: Fetcher, registry: str, subject: Subject, platform: Platform) -> Listed:
    """What a registry says of a version, its optional native packages included.

    Args:
        registry: ends in a slash.
        platform: whose native packages are of role "platform"; others are listed, and not fetched.

    Raises:
        SubjectError: no such package or version; names the newest.
        RegistryError: no answer, or none that fits.
    """
    document = await _document(fetch, registry, subject.name)
    manifest = _versions(document).get(subject.version.lstrip("v=")) if subject.version else None
    if not isinstance(manifest, dict):
        raise SubjectError(_missing(subject, document), f"Name one: npm:{subject.name}@VERSION.")
    files = [_declared(registry, manifest, "main")]
    for alias, wanted in _table(manifest, "optionalDependencies").items():
        name, version = _resolved(alias, wanted)
        if not version:
            continue
        optional = manifest if name == subject.name else None
        of = document if name == subject.name else await _document(fetch, registry, name, missing_ok=True)
        optional = _versions(of).get(version)
        if isinstance(optional, dict) and _is_native(optional):
            fits = platform.fits_npm(_words(optional, "os"), _words(optional, "cpu"), _words(optional, "libc"))
            files.append(_declared(registry, optional, "platform" if fits else "other-platform"))
    times = document.get("time")
    return Listed(
        name=subject.name,
        version=str(manifest.get("version", "")),
        registry=registry,
        files=tuple(files),
        dependencies={**_table(manifest, "dependencies"), **_table(manifest, "optionalDependencies")},
        manifest=manifest,
        notice=str(manifest["deprecated"]) if manifest.get("deprecated") else "",
        published=str(times.get(manifest.get("version"), "")) if isinstance(times, dict) else "",
    )


async def _document(fetch: Fetcher, registry: str, name: str, *, missing_ok: bool = False) -> dict[str, Any]:
    url = registry + quote(name, safe="@")
    answer = await fetch.ask(url, _JSON)
    if answer.status == 404:
        if missing_ok:
            return {}
        raise SubjectError(
            f"The registry {registry} has no package {name!r}.",
            "Check the name, and which registry npm is configured with.",
        )
    if answer.status != 200:
        raise RegistryError(
            f"{url} answers {answer.status}.",
            "Check npm's credentials for this registry." if answer.status in (401, 403) else "Try again.",
        )
    document = answer.json(url)
    if not isinstance(document, dict):
        raise RegistryError(f"{url} answers with what is no package document.")
    return document


def _versions(document: Mapping[str, Any]) -> dict[str, Any]:
    versions = document.get("versions")
    return versions if isinstance(versions, dict) else {}


def _missing(subject: Subject, document: Mapping[str, Any]) -> str:
    tags = document.get("dist-tags")
    latest = str(tags.get("latest", "")) if isinstance(tags, dict) else ""
    newest = sorted((one for one in _versions(document) if "-" not in one), key=_order, reverse=True)[:_NEWEST_SHOWN]
    asked = f"{subject.version!r} is no version" if subject.version else "No version is named"
    return f"{asked} of {subject.name}. The newest are {', '.join(newest) or 'none'}" + (
        f"; latest is {latest}." if latest else "."
    )


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _resolved(alias: str, wanted: str) -> tuple[str, str]:
    """Package and exact version of a dependency; version empty: it is a range."""
    named = _ALIAS.fullmatch(wanted)
    name, spec = (named[1], named[2]) if named else (alias, wanted)
    exact = _EXACT.fullmatch(spec)
    return name, exact[1] if exact else ""


def _is_native(manifest: Mapping[str, Any]) -> bool:
    return bool(_words(manifest, "os") or _words(manifest, "cpu"))


def _words(manifest: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = manifest.get(key)
    if isinstance(value, str):
        return (value,)
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()


def _table(manifest: Mapping[str, Any], key: str) -> dict[str, str]:
    value = manifest.get(key)
    return {str(name): str(wanted) for name, wanted in value.items()} if isinstance(value, dict) else {}


def _declared(registry: str, manifest: Mapping[str, Any], role: Any) -> Declared:
    dist = manifest.get("dist")
    if not isinstance(dist, dict) or not isinstance(dist.get("tarball"), str):
        raise RegistryError(f"The registry {registry} names no file of {manifest.get('name')!r}.")
    integrity = str(dist.get("integrity", ""))
    digests = _digests(integrity)
    if isinstance(dist.get("shasum"), str):
        digests["sha1"] = dist["shasum"].lower()
    signatures = tuple(
        (str(one.get("keyid", "")), str(one.get("sig", "")))
        for one in dist.get("signatures") or ()
        if isinstance(one, dict)
    )
    attestations = dist.get("attestations")
    name, version = str(manifest.get("name", "")), str(manifest.get("version", ""))
    platform = (
        "/".join((",".join(_words(manifest, "os")), ",".join(_words(manifest, "cpu")))) if _is_native(manifest) else ""
    )
    return Declared(
        name=name,
        version=version,
        file=f"{name.replace('/', '-').lstrip('@')}-{version}.tgz",
        url=urljoin(registry, dist["tarball"]),
        digests=digests,
        role=role,
        signatures=signatures,
        attestations=urljoin(registry, str(attestations.get("url", "")))
        if isinstance(attestations, dict) and attestations.get("url")
        else "",
        integrity=integrity,
        platform=platform,
    )


def _digests(integrity: str) -> dict[str, str]:
    """Of subresource integrity (https://www.w3.org/TR/SRI/): "sha512-BASE64", several apart by blanks."""
    found: dict[str, str] = {}
    for word in integrity.split():
        name, _, encoded = word.partition("?")[0].partition("-")
        try:
            found[name] = base64.b64decode(encoded, validate=True).hex()
        except (binascii.Error, ValueError):
            continue
    return found
