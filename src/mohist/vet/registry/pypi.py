"""Asks an index of Python packages (https://packaging.python.org/en/latest/specifications/simple-repository-api/) for one version."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, unquote, urldefrag, urljoin, urlsplit

from mohist.vet.artefact import Declared, Listed
from mohist.vet.errors import RegistryError, SubjectError
from mohist.vet.registry.fetch import Fetcher
from mohist.vet.registry.platform import Platform
from mohist.vet.subject import Subject

_ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
_SOURCES = (".tar.gz", ".zip", ".tgz", ".tar.bz2", ".tar.xz")
_NEWEST_SHOWN = 5
_PARTS = re.compile(r"\d+|[a-z]+")


def normal_name(name: str) -> str:
    """A package's one name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def normal_version(version: str) -> str:
    """A version in one spelling (PEP 440, as far as file names need it)."""
    plain = version.strip().lower().lstrip("v")
    plain = re.sub(r"[-_.]?(?:alpha)[-_.]?", "a", plain)
    plain = re.sub(r"[-_.]?(?:beta)[-_.]?", "b", plain)
    plain = re.sub(r"[-_.]?(?:rc|c|preview|pre)[-_.]?(?=\d)", "rc", plain)
    plain = re.sub(r"[-_.]?(?:post|rev|r(?!c))[-_.]?(?=\d)", ".post", plain)
    plain = re.sub(r"(?<=[\d])[-_.]?(a|b)[-_.]?(?=\d)", r"\1", plain)
    plain = re.sub(r"[-_.]?dev[-_.]?(?=\d)", ".dev", plain)
    release, rest = _split(plain)
    numbers = [str(int(part)) for part in release.split(".") if part]
    while len(numbers) > 1 and numbers[-1] == "0":
        numbers.pop()
    return ".".join(numbers) + rest


async def listed(
    fetch: Fetcher, indexes: Sequence[str], find_links: Sequence[str], subject: Subject, platform: Platform
) -> Listed:
    """What the indexes say of a version: the source, and the wheel that this machine would get; others are listed, and not fetched.

    Raises:
        SubjectError: no such package or version; names the newest.
        RegistryError: no answer, or none that fits.
    """
    name = normal_name(subject.name)
    failures: list[str] = []
    versions: set[str] = set()
    known = False
    for index in indexes:
        url = index + quote(name) + "/"
        answer = await fetch.ask(url, _ACCEPT)
        if answer.status != 200:
            failures.append(f"{url} answers {answer.status}")
            continue
        known = True
        entries = answer.json(url).get("files", []) if answer.kind.endswith("json") else _entries(answer.body, url)
        found = _of_version(entries, url, subject, name, versions)
        if found:
            return _chosen(found, subject, index, platform)
    for folder in find_links:
        found = _of_version(_in_folder(folder), "", subject, name, versions)
        if found:
            return _chosen(found, subject, folder, platform)
    if not known and not versions:
        raise SubjectError(
            f"No index has a package {subject.name!r}: {'; '.join(failures)}.",
            "Check the name, and which index pip is configured with.",
        )
    final = sorted((one for one in versions if not re.search(r"[a-z]", one)), key=_order, reverse=True)[:_NEWEST_SHOWN]
    asked = f"{subject.version!r} is no version" if subject.version else "No version is named"
    raise SubjectError(
        f"{asked} of {subject.name}. The newest are {', '.join(final) or 'none'}.",
        f"Name one: pypi:{subject.name}==VERSION.",
    )


def _of_version(entries: Any, base: str, subject: Subject, name: str, versions: set[str]) -> list[tuple[Declared, str]]:
    """The files of the version, each with what the index says against it; notes all versions."""
    wanted = normal_version(subject.version) if subject.version else ""
    found: list[tuple[Declared, str]] = []
    for entry in entries if isinstance(entries, list) else ():
        if (
            not isinstance(entry, dict)
            or not isinstance(entry.get("filename"), str)
            or not isinstance(entry.get("url"), str)
        ):
            continue
        version = _version_of(entry["filename"], name)
        if not version:
            continue
        versions.add(version)
        if not wanted or normal_version(version) != wanted:
            continue
        hashes = entry.get("hashes")
        yanked = entry.get("yanked")
        declared = Declared(
            name=subject.name,
            version=version,
            file=entry["filename"],
            url=urljoin(base, entry["url"]),
            digests={str(key): str(value).lower() for key, value in hashes.items()} if isinstance(hashes, dict) else {},
            role="other-platform",
            attestations=str(entry["provenance"]) if entry.get("provenance") else "",
            platform=entry["filename"].removesuffix(".whl").rpartition("-")[2]
            if entry["filename"].endswith(".whl")
            else "",
        )
        found.append((declared, (yanked if isinstance(yanked, str) else "yanked") if yanked else ""))
    return found


def _chosen(found: list[tuple[Declared, str]], subject: Subject, registry: str, platform: Platform) -> Listed:
    ranks = {one.file: platform.wheel_rank(one.file) for one, _ in found}
    best = max(found, key=lambda one: ranks[one[0].file])[0].file
    files: list[Declared] = []
    for one, _ in found:
        role: Literal["main", "source", "other-platform"] = "other-platform"
        if one.file.endswith(_SOURCES):
            role = "source" if ranks[best] else "main"
        elif one.file == best and ranks[best]:
            role = "main"
        files.append(_with_role(one, role))
    if not any(one.role in ("main", "source") for one in files):
        raise RegistryError(
            f"No file of {subject.name} {subject.version} is for this machine.",
            "Vet it on a machine like those that would run it.",
        )
    order = {"main": 0, "source": 1}
    files.sort(key=lambda one: (order.get(one.role, 2), one.file))
    notice = next((why for _, why in found if why), "")
    return Listed(
        subject.name, found[0][0].version, registry, tuple(files), {}, {}, f"yanked: {notice}" if notice else ""
    )


def _with_role(one: Declared, role: Any) -> Declared:
    return Declared(
        one.name,
        one.version,
        one.file,
        one.url,
        one.digests,
        role,
        one.signatures,
        one.attestations,
        one.integrity,
        one.platform,
    )


def _version_of(file: str, name: str) -> str:
    """The version of a file by its name; empty: it is none of this package."""
    if file.endswith(".whl"):
        parts = file.split("-")
        return parts[1] if len(parts) >= 5 and normal_name(parts[0]) == name else ""
    stem = next((file.removesuffix(ending) for ending in _SOURCES if file.endswith(ending)), "")
    for at, character in enumerate(stem):
        if character == "-" and normal_name(stem[:at]) == name and stem[at + 1 : at + 2].isdigit():
            return stem[at + 1 :]
    return ""


def _split(version: str) -> tuple[str, str]:
    match = re.match(r"(?:\d+!)?\d+(?:\.\d+)*", version)
    return (match[0].rpartition("!")[2], version[match.end() :]) if match else ("0", version)


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in _PARTS.findall(version) if part.isdigit())


def _in_folder(folder: str) -> list[dict[str, Any]]:
    path = Path(unquote(urlsplit(folder).path) if folder.startswith("file:") else folder)
    try:
        return [
            {"filename": one.name, "url": one.resolve().as_uri()} for one in sorted(path.iterdir()) if one.is_file()
        ]
    except OSError:
        return []


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[Mapping[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.found.append(dict(attrs))


def _entries(page: bytes, base: str) -> list[dict[str, Any]]:
    """The files of an index's page in HTML (PEP 503, 592, 740)."""
    parser = _Links()
    parser.feed(page.decode("utf-8", "replace"))
    entries: list[dict[str, Any]] = []
    for link in parser.found:
        address, fragment = urldefrag(urljoin(base, link.get("href") or ""))
        name, _, digest = fragment.partition("=")
        entries.append(
            {
                "filename": unquote(urlsplit(address).path.rpartition("/")[2]),
                "url": address,
                "hashes": {name: digest} if digest else {},
                "yanked": "data-yanked" in link and (link["data-yanked"] or True),
                "provenance": link.get("data-provenance") or "",
            }
        )
    return entries
