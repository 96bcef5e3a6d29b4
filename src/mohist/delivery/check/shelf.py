"""Where licences of packages can be read without a network: what is installed, cached, or lies in the change itself.

    python  metadata of installed packages
    go      the module cache, `MODULE@VERSION/LICENSE`; else `vendor/MODULE/LICENSE` of the change
    cargo   the registry's sources and packed crates, `Cargo.toml`; else `vendor/NAME/Cargo.toml` of the change

What lies in the change says of itself what it likes, so it counts only where nothing else knows, and that is said.
Nothing here is run; what can't be read is unknown.
"""

from __future__ import annotations

import importlib.metadata
import re
import tarfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from mohist.delivery.check.licence import licence_of_text, spdx

_LICENCE_FILE: Final = re.compile(r"^(un)?(licen[cs]e|copying)([-_.].*)?$", re.IGNORECASE)
_LARGEST_BYTES: Final = 200_000
_LARGEST_CRATE_BYTES: Final = 20_000_000
_PLAIN: Final = re.compile(r"^[A-Za-z0-9._~!+-]+(/[A-Za-z0-9._~!+-]+)*$")
"""Names and versions that are looked for on disk; others could lead elsewhere."""


@dataclass(frozen=True, slots=True)
class Known:
    """A licence, and who says so."""

    licence: str = ""
    """SPDX expression; empty: unknown."""
    origin: str = ""
    """`vendored`: the change itself; empty: what is installed, cached or locked."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """Folders of this machine, and files of the change."""

    packages: tuple[Path, ...] = ()
    """Of installed Python packages, or environments with such a folder."""
    modules: tuple[Path, ...] = ()
    """Go's module caches."""
    registries: tuple[Path, ...] = ()
    """Cargo's: `~/.cargo/registry`."""
    vendored: Mapping[str, str] | None = None
    """Path to text of the change's `vendor/**` files that tell licences."""

    def licence(self, ecosystem: str, name: str, version: str) -> Known:
        """What is known of a package's licence."""
        if ecosystem == "python":
            return Known(_installed(name, self.packages))
        if ecosystem not in ("go", "cargo") or not _PLAIN.match(name) or ".." in name:
            return Known()
        cached = self._module(name, version) if ecosystem == "go" else self._crate(name, version)
        if cached:
            return Known(cached)
        vendored = self._vendored_module(name) if ecosystem == "go" else self._vendored_crate(name, version)
        return Known(vendored, "vendored" if vendored else "")

    def _module(self, name: str, version: str) -> str:
        if not version or not _PLAIN.match(version) or "/" in version:
            return ""
        for cache in self.modules:
            folder = cache / f"{_escaped(name)}@{_escaped(version)}"
            if licence := _of_texts(_licence_files(folder)):
                return licence
        return ""

    def _crate(self, name: str, version: str) -> str:
        version = version.lstrip("=^~ ")
        if not version or not _PLAIN.match(f"{name}-{version}"):
            return ""
        for registry in self.registries:
            for manifest in sorted(registry.glob(f"src/*/{name}-{version}/Cargo.toml")):
                if licence := _of_crate(_read(manifest), dict(_named(manifest.parent))):
                    return licence
            for packed in sorted(registry.glob(f"cache/*/{name}-{version}.crate")):
                if licence := _of_packed(packed, f"{name}-{version}"):
                    return licence
        return ""

    def _vendored_module(self, name: str) -> str:
        return _of_texts(text for _, text in self._below(f"vendor/{name}/"))

    def _vendored_crate(self, name: str, version: str) -> str:
        for folder in (f"vendor/{name}-{version}/", f"vendor/{name}/"):
            found = dict(self._below(folder))
            if "Cargo.toml" in found and (licence := _of_crate(found["Cargo.toml"], found)):
                return licence
        return ""

    def _below(self, folder: str) -> Iterator[tuple[str, str]]:
        for path, text in (self.vendored or {}).items():
            if path.startswith(folder) and "/" not in path.removeprefix(folder):
                yield path.removeprefix(folder), text


def tells_licence(path: str) -> bool:
    """Whether a file of a change may tell what a vendored package's licence is."""
    parts = PurePosixPath(path).parts
    return len(parts) > 2 and parts[0] == "vendor" and (_is_licence(parts[-1]) or parts[-1] == "Cargo.toml")


def caches(env: Mapping[str, str]) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """The module caches and registries of an account, by its environment: Go's, Cargo's; those that are there."""
    home = Path(env["HOME"]) if env.get("HOME") else None
    modules = [Path(env["GOMODCACHE"])] if env.get("GOMODCACHE") else []
    paths = [Path(one) for one in env.get("GOPATH", "").split(":") if one] or ([home / "go"] if home else [])
    modules += [path / "pkg" / "mod" for path in paths]
    registries = [Path(env["CARGO_HOME"])] if env.get("CARGO_HOME") else [home / ".cargo"] if home else []
    there = (
        tuple(path for path in found if path.is_dir()) for found in (modules, [r / "registry" for r in registries])
    )
    return next(there), next(there)


def _is_licence(name: str) -> bool:
    return bool(_LICENCE_FILE.match(name)) and not name.endswith((".go", ".rs", ".json"))


def _escaped(text: str) -> str:
    """As Go's caches write capitals, https://go.dev/ref/mod#module-cache."""
    return re.sub(r"[A-Z]", lambda found: f"!{found[0].lower()}", text)


def _named(folder: Path) -> Iterator[tuple[str, str]]:
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            if _is_licence(path.name):
                yield path.name, _read(path)


def _licence_files(folder: Path) -> Iterator[str]:
    return (text for _, text in _named(folder))


def _of_texts(texts: Iterator[str]) -> str:
    """All of them hold, for nothing says that one may choose; one that is not understood makes it unknown."""
    found = [licence_of_text(text) for text in texts]
    return " AND ".join(dict.fromkeys(found)) if found and all(found) else ""


def _of_crate(manifest: str, files: Mapping[str, str]) -> str:
    try:
        package = tomllib.loads(manifest).get("package", {})
    except (tomllib.TOMLDecodeError, RecursionError):
        return ""
    if not isinstance(package, dict):
        return ""
    if isinstance(package.get("license"), str):
        return spdx(package["license"])
    return licence_of_text(files.get(str(package.get("license-file", "")), ""))


def _of_packed(path: Path, name: str) -> str:
    try:
        if path.stat().st_size > _LARGEST_CRATE_BYTES:
            return ""
        with tarfile.open(path, "r:gz") as packed:
            for row in packed:
                if row.name == f"{name}/Cargo.toml" and row.isfile() and row.size <= _LARGEST_BYTES:
                    held = packed.extractfile(row)
                    return _of_crate(held.read().decode("utf-8", "replace"), {}) if held else ""
    except (OSError, tarfile.TarError, EOFError):
        return ""
    return ""


def _read(path: Path) -> str:
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > _LARGEST_BYTES:
            return ""
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _installed(name: str, packages: Sequence[Path]) -> str:
    """The licence that an installed package names; empty: not installed, or it names none."""
    folders = [str(folder) for path in packages for folder in (path, *path.glob("lib/python3*/site-packages"))]
    for found in importlib.metadata.distributions(name=name, path=folders) if folders else ():
        told = found.metadata
        if told["License-Expression"]:
            return str(told["License-Expression"])
        marks = [row.rpartition(" :: ")[2] for row in told.get_all("Classifier") or [] if row.startswith("License :: ")]
        for text in (*marks, told["License"] or ""):
            if text and text != "OSI Approved" and spdx(text):
                return spdx(text)
    return ""
