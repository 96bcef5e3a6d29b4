"""What a change makes a project depend on: names, versions and, where it can be known offline, licences."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

from mohist.delivery.check.diff import ChangedFile, finding
from mohist.delivery.check.licence import LicenceRule, spdx
from mohist.delivery.check.shelf import Known, Shelf
from mohist.delivery.state import Finding

_PEP508 = re.compile(r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*(?:@\s*(\S+)|([^;#\\]*))")
# A module's name begins with a host, which has a dot. Runs are taken whole: a change's author may have written anything.
_GO_REQUIRE = re.compile(
    r"^[ \t]*+(?:require[ \t]++)?((?=[^\s/.]++\.[^\s/])[\w.-]++/\S++)[ \t]++(v\S++)([ \t]*+//[ \t]*+indirect)?",
    re.MULTILINE,
)
_GO_REPLACE = re.compile(
    r"^[ \t]*+(?:replace[ \t]++)?(\S++)(?:[ \t]++v\S++)?[ \t]++=>[ \t]++(\S++)(?:[ \t]++(v\S++))?", re.MULTILINE
)
_GO_SUM = re.compile(r"^(\S+) (v\S+?)(?:/go\.mod)? h1:", re.MULTILINE)
_YARN = re.compile(r'^"?(@?[^@\s"]+)@[^\n]*:\n\s+version:?\s+"?([^"\n]+)', re.MULTILINE)
_TOLD = 12
LICENCE: Final = "dependency-licence"
"""Rule of findings that a person decides."""


def is_licence(row: Finding) -> bool:
    """Whether a finding is about a package's licence, which a person decides."""
    return row.finding_id.startswith(f"verify-{LICENCE}-")


@dataclass(frozen=True, slots=True)
class Dependency:
    """One package that is named."""

    ecosystem: str
    """`python`, `npm`, `go`, `cargo`."""
    name: str
    version: str
    """As it is written, a range in a manifest; empty: any."""
    licence: str = ""
    direct: bool = True
    """False: it stands in a lock only."""


def dependency_findings(files: Sequence[ChangedFile], rule: LicenceRule, shelf: Shelf | None = None) -> list[Finding]:
    """New dependencies, and ones in another version from another source, a finding each; those of locks in one.

    Where there is a rule, what it does not allow and what nobody knows the licence of are `dependency-licence`: for a
    person to decide.

    Args:
        shelf: where licences that no lock names are read.
    """
    shelf = shelf or Shelf()
    before: dict[tuple[str, str], Dependency] = {}
    after: dict[tuple[str, str], tuple[Dependency, str, int]] = {}
    locked: dict[tuple[str, str], Dependency] = {}
    for file in files:
        for found in _read(file.old_path, file.before or ""):
            known = before.get((found.ecosystem, found.name))
            if known is None or found.direct:
                before[found.ecosystem, found.name] = found
        for found in _read(file.path, file.after or ""):
            key = (found.ecosystem, found.name)
            if found.direct:
                after[key] = (found, file.path, _line_of(file, found.name))
            else:
                locked[key] = found
                after.setdefault(key, (found, file.path, _line_of(file, found.name)))
    findings: list[Finding] = []
    indirect: dict[str, list[str]] = {}
    unsure: dict[str, list[str]] = {}
    for key, (new, path, line) in sorted(after.items(), key=lambda row: row[0]):
        old = before.get(key)
        if old is not None and (old.version == new.version or not new.direct or not _elsewhere(old, new)):
            continue
        held = locked.get(key, new)
        version = held.version or new.version
        # A fork has the licence of its own address, which no shelf goes by.
        known_as = Known(held.licence) if held.licence or "/" in new.version else shelf.licence(*key, version)
        licence = known_as.licence
        allowed = rule.judge(licence)
        told = f"{licence or 'unknown'}{' (as the change itself says)' if known_as.origin else ''}"
        what = f"{new.name}{f' {version}' if version else ''} ({new.ecosystem}), licence {told}"
        doubtful = bool(rule.allow) and allowed is None
        if allowed is False:
            text = f"The dependency {what}, is not allowed."
            findings.append(finding(LICENCE, "major", text, path, line))
        elif not new.direct:
            indirect.setdefault(path, []).append(f"{new.name} {version}{f' ({licence})' if licence else ''}")
            if doubtful:
                unsure.setdefault(path, []).append(f"{new.name} {version}{f' ({licence})' if licence else ''}")
        else:
            said = "comes from elsewhere now" if old is not None else "is new"
            if doubtful:
                text = f"The dependency {what}, {said}; whether it is allowed is for a person to decide."
                findings.append(finding(LICENCE, "major", text, path, line))
            else:
                text = f"The dependency {what}, {said}."
                findings.append(finding("dependency", "note" if licence else "minor", text, path, line))
    for path, names in indirect.items():
        text = f"{len(names)} new packages in the lock: {_list(names)}."
        findings.append(finding("dependency-lock", "note", text, path))
    for path, names in unsure.items():
        text = f"{len(names)} new packages in the lock whose licence is not known to be allowed: {_list(names)}."
        findings.append(finding(LICENCE, "major", text, path))
    return findings


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - _TOLD} more" if len(names) > _TOLD else ""
    return ", ".join(names[:_TOLD]) + more


def _elsewhere(old: Dependency, new: Dependency) -> bool:
    """Whether the version names another source now: an address or a path."""
    return "/" in new.version and old.version != new.version


def _read(path: str, text: str) -> Iterable[Dependency]:
    name = PurePosixPath(path).name
    reader = _READERS.get(name)
    if reader is None and re.match(r"(.*[-_.])?(requirements|constraints)([-_.].*)?\.(txt|in)$", name):
        reader = _requirements
    if reader is None and "requirements" in PurePosixPath(path).parts and name.endswith((".txt", ".in")):
        reader = _requirements
    return reader(text) if reader is not None and text else ()


def _requirements(text: str) -> list[Dependency]:
    found = []
    for row in text.replace("\\\n", " ").split("\n"):
        if row.strip() and not row.lstrip().startswith(("#", "-")):
            made = _pep508(row)
            found += [made] if made else []
    return found


def _pep508(text: str) -> Dependency | None:
    match = _PEP508.match(text)
    if match is None:
        return None
    version = (match[2] or match[3] or "").split("--hash")[0].strip().strip("()")
    return Dependency("python", re.sub(r"[-_.]+", "-", match[1]).lower(), version.replace(" ", ""))


def _pyproject(text: str) -> list[Dependency]:
    read = _toml(text)
    project, tool = _table(read, "project"), _table(read, "tool")
    lists = [
        project.get("dependencies"), *_table(project, "optional-dependencies").values(),
        *_table(read, "dependency-groups").values(), _table(read, "build-system").get("requires"),
    ]  # fmt: skip
    found = [_pep508(row) for rows in lists if isinstance(rows, list) for row in rows if isinstance(row, str)]
    poetry = _table(tool, "poetry")
    groups = [poetry, *(group for group in _table(poetry, "group").values() if isinstance(group, dict))]
    for group in groups:
        for key in ("dependencies", "dev-dependencies"):
            for name, value in _table(group, key).items():
                if name != "python":
                    found.append(Dependency("python", re.sub(r"[-_.]+", "-", name).lower(), _version(value)))
    return [made for made in found if made is not None]


def _package_json(text: str) -> list[Dependency]:
    read = _json(text)
    kinds = ("dependencies", "devDependencies", "peerDependencies", "optionalDependencies")
    return [Dependency("npm", name, str(value)) for kind in kinds for name, value in _table(read, kind).items()]


def _package_lock(text: str) -> list[Dependency]:
    found = []
    for place, value in _table(_json(text), "packages").items():
        if "node_modules/" in place and isinstance(value, dict):
            name = place.rpartition("node_modules/")[2]
            licence = value.get("license")
            licence = spdx(licence) if isinstance(licence, str) else ""
            found.append(Dependency("npm", name, str(value.get("version", "")), licence, direct=False))
    return found


def _yarn_lock(text: str) -> list[Dependency]:
    return [Dependency("npm", name, version, direct=False) for name, version in _YARN.findall(text)]


def _pnpm_lock(text: str) -> list[Dependency]:
    rows = re.findall(r"^ {2}'?/?(@?[^@\s'():]+)@([^'():\s]+)(?:\([^\n]*\))?'?:", text, re.MULTILINE)
    return [Dependency("npm", name, version, direct=False) for name, version in rows]


def _go_mod(text: str) -> list[Dependency]:
    found = [
        Dependency("go", name, version, direct=not indirect) for name, version, indirect in _GO_REQUIRE.findall(text)
    ]
    return found + [
        Dependency("go", name, f"{to} {version}".strip()) for name, to, version in _GO_REPLACE.findall(text)
    ]


def _go_sum(text: str) -> list[Dependency]:
    return [Dependency("go", name, version, direct=False) for name, version in dict.fromkeys(_GO_SUM.findall(text))]


def _cargo_toml(text: str) -> list[Dependency]:
    read = _toml(text)
    tables = [read, _table(read, "workspace"), *(t for t in _table(read, "target").values() if isinstance(t, dict))]
    kinds = ("dependencies", "dev-dependencies", "build-dependencies")
    return [
        Dependency("cargo", name, _version(value)) for table in tables for kind in kinds
        for name, value in _table(table, kind).items()
    ]  # fmt: skip


def _locked(ecosystem: str) -> Callable[[str], list[Dependency]]:
    def read(text: str) -> list[Dependency]:
        rows = _toml(text).get("package")
        return [
            Dependency(ecosystem, str(row.get("name", "")), str(row.get("version", "")), direct=False)
            for row in (rows if isinstance(rows, list) else []) if isinstance(row, dict)
            # A workspace's own members stand in the lock as well.
            and not (isinstance(row.get("source"), dict) and {"editable", "virtual"} & row["source"].keys())
        ]  # fmt: skip

    return read


_READERS: dict[str, Callable[[str], list[Dependency]]] = {
    "pyproject.toml": _pyproject, "package.json": _package_json, "package-lock.json": _package_lock,
    "npm-shrinkwrap.json": _package_lock, "yarn.lock": _yarn_lock, "pnpm-lock.yaml": _pnpm_lock, "go.mod": _go_mod,
    "go.sum": _go_sum, "Cargo.toml": _cargo_toml, "Cargo.lock": _locked("cargo"), "poetry.lock": _locked("python"),
    "uv.lock": _locked("python"), "pdm.lock": _locked("python"),
}  # fmt: skip


def _version(value: Any) -> str:
    if isinstance(value, dict):
        return str(value.get("git") or value.get("path") or value.get("url") or value.get("version") or "")
    return str(value)


def _line_of(file: ChangedFile, name: str) -> int:
    spelled = "[-_.]+".join(re.escape(part) for part in name.split("-"))
    wanted = re.compile(rf"(?<![\w-]){spelled}(?![\w-])", re.IGNORECASE)
    for line in file.added:
        if wanted.search(line.text):
            return line.number
    return 0


def _toml(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return {}


def _json(text: str) -> dict[str, Any]:
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}


def _table(value: dict[str, Any], key: str) -> dict[str, Any]:
    found = value.get(key)
    return found if isinstance(found, dict) else {}
