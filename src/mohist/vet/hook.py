"""What runs without being called: when a package is installed, and when an interpreter or an editor starts. And what that may fetch."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from mohist.vet.evidence import Evidence, printable
from mohist.vet.finding import Finding
from mohist.vet.static.comment import blanked
from mohist.vet.static.host import hosts
from mohist.vet.static.text import Text, language_of

When = Literal["install", "build", "interpreter-start", "editor-start", "uninstall"]

_NPM_INSTALL = ("preinstall", "install", "postinstall")
_NPM_UNINSTALL = ("preuninstall", "uninstall", "postuninstall")
_READ_BYTES = 4 * 1024 * 1024
_SCRIPT = re.compile(r"(?:^|[\s;&|])(?:node|python3?|sh|bash)\s+(?:-\S+\s+)*([\w./@-]+)|(?:^|[\s;&|])(\./[\w./-]+)")
_REQUIRED = re.compile(rb"""(?:require\(|from\s|import\s)\s*["'](\.{1,2}/[^"']+)["']""")
_FETCHES = re.compile(
    rb"""\bfetch\(|["'](?:node:)?https?["']|https?\.(?:get|request)\(|\baxios\b|node-fetch|\bgot\(|urlopen|urlretrieve|requests\.get|httpx\.|\bcurl\b|\bwget\b|Invoke-WebRequest|XMLHttpRequest|createConnection|\bundici\b"""
)
_STARTS = re.compile(rb"child_process|execSync|spawnSync|\bspawn\(|subprocess|os\.system|os\.exec|\bpopen\(|runpy")
_HIDES = re.compile(
    rb"\bexec\(|\beval\(|base64|b64decode|zlib|marshal|subprocess|os\.system|urlopen|requests|socket|compile\("
)
_DEPTH = 2
"""How many files a script's own files are followed through."""
_FILES_MOST = 16


@dataclass(frozen=True, slots=True)
class Hook:
    """Something that runs by itself."""

    when: When
    where: str
    """The file that says so."""
    what: str
    """The command, or the line."""
    line: int = 0
    files: tuple[str, ...] = ()
    """Files of the package that it runs, as far as it names them."""
    fetches: tuple[str, ...] = ()
    """Addresses that those name, if there is something in them that fetches."""
    starts: bool = False
    """Whether those start other programs."""

    def json(self) -> dict[str, Any]:
        """For the evidence file."""
        return {
            "when": self.when,
            "where": self.where,
            "what": self.what,
            "files": list(self.files),
            "fetches": list(self.fetches),
            "starts_programs": self.starts,
        }


def hooks(tree: Path, files: list[Path], roots: frozenset[str]) -> Iterator[Hook]:
    """Every hook of a tree.

    Args:
        tree: an unpacked artefact.
        files: all of its files, below `tree`.
        roots: folders (below `tree`, "" itself) whose package.json is installed as a package; another's scripts do not run.
    """
    for path in files:
        where = path.relative_to(tree).as_posix()
        folder = PurePosixPath(where).parent.as_posix()
        folder = "" if folder == "." else folder
        match path.name:
            case "package.json" if folder in roots or _installed(folder):
                yield from _of_manifest(tree, path, where)
            case "binding.gyp" if folder in roots:
                yield Hook("install", where, "node-gyp rebuild")
            case "setup.py" if folder in roots:
                yield _followed(tree, "build", where, "python setup.py", [path])
            case "sitecustomize.py" | "usercustomize.py" if folder in roots or folder.endswith("site-packages"):
                yield _followed(tree, "interpreter-start", where, path.name, [path])
            case name if name.endswith(".pth") and (
                folder in roots or folder.endswith(("site-packages", ".data/purelib", ".data/platlib"))
            ):
                yield from _of_pth(path, where)


def _installed(folder: str) -> bool:
    parts = PurePosixPath(folder).parts
    return len(parts) >= 2 and (
        parts[-2] == "node_modules" or (len(parts) >= 3 and parts[-3] == "node_modules" and parts[-2].startswith("@"))
    )


def _of_manifest(tree: Path, path: Path, where: str) -> Iterator[Hook]:
    manifest = read_manifest(path)
    scripts = manifest.get("scripts")
    for name, command in scripts.items() if isinstance(scripts, dict) else ():
        if not isinstance(command, str):
            continue
        when: When | None = (
            "install"
            if name in _NPM_INSTALL
            else "uninstall"
            if name in _NPM_UNINSTALL or name == "vscode:uninstall"
            else None
        )
        if when is not None:
            named = [word for match in _SCRIPT.finditer(command) for word in match.groups() if word]
            found = [file for word in named if (file := _file(tree, path.parent / word)) is not None]
            yield _followed(tree, when, where, f"{name}: {command}", found)
    engines, events = manifest.get("engines"), manifest.get("activationEvents")
    if isinstance(engines, dict) and "vscode" in engines and isinstance(events, list):
        always = [event for event in events if event in ("*", "onStartupFinished")]
        if always:
            main = _file(tree, path.parent / str(manifest.get("main", "extension.js")))
            yield _followed(
                tree, "editor-start", where, f"activationEvents: {', '.join(always)}", [main] if main else [], depth=0
            )


def _of_pth(path: Path, where: str) -> Iterator[Hook]:
    for number, line in enumerate(_read(path).splitlines(), 1):
        # `site` runs a line that begins with import, followed by a blank or a tab; every other one is a folder (Lib/site.py).
        if line.startswith((b"import ", b"import\t")):
            yield Hook(
                "interpreter-start",
                where,
                printable(line.decode("utf-8", "replace")),
                number,
                starts=bool(_STARTS.search(line)),
            )


def _followed(tree: Path, when: When, where: str, what: str, start: list[Path], depth: int = _DEPTH) -> Hook:
    """A hook with what the files that it runs, and those that they load, hold."""
    seen: dict[str, None] = {}
    addresses: dict[str, None] = {}
    fetches = starts = False
    queue = [(path, depth) for path in start]
    while queue and len(seen) < _FILES_MOST:
        path, left = queue.pop(0)
        name = path.relative_to(tree).as_posix()
        if name in seen:
            continue
        seen[name] = None
        data = _read(path)
        language = language_of(name, data[:256])
        fetches = fetches or bool(_FETCHES.search(data))
        starts = starts or bool(_STARTS.search(data))
        addresses |= dict.fromkeys(
            printable(one.endpoint, 200)
            for one in hosts(Text(name, blanked(data, language), language))
            if one.form == "url"
        )
        if left:
            for match in _REQUIRED.finditer(data):
                loaded = _file(tree, path.parent / match[1].decode("utf-8", "replace"))
                if loaded is not None:
                    queue.append((loaded, left - 1))
    if _FETCHES.search(what.encode("utf-8", "replace")):
        fetches = True
        addresses |= dict.fromkeys(re.findall(r"https?://[^\s\"'|]+", what))
    return Hook(
        when,
        where,
        printable(what),
        0,
        tuple(seen),
        tuple(addresses) if fetches else (),
        starts or bool(_STARTS.search(what.encode("utf-8", "replace"))),
    )


def findings(hook: Hook) -> Iterator[Finding]:
    """What is said of a hook."""
    facts = (("runs", ", ".join(hook.files) or hook.what),)
    place = Evidence(hook.where, hook.what, -1, hook.line, facts)
    how = f"Read {hook.where}" + (f", and {', '.join(hook.files)}." if hook.files else ".")
    if hook.when in ("install", "build"):
        title = (
            "Runs a program when it is installed"
            if hook.when == "install"
            else "Runs a program when it is built from source"
        )
        also = " It starts other programs." if hook.starts else ""
        yield Finding(
            f"acquire/runs-at-{hook.when}",
            title,
            "low" if hook.when == "install" else "info",
            "observed",
            "acquire",
            f"{hook.where} has {hook.what!r} run.{also}",
            (place,),
            how,
        )
        if hook.fetches:
            named = ", ".join(hook.fetches[:6])
            yield Finding(
                "acquire/second-stage", "What runs at installation may fetch more", "medium" if hook.when == "install" else "low", "likely", "acquire",
                f"What {hook.where} has run at {hook.when} can fetch over the network, and names {named}. What it would fetch is not part of what was vetted.", (place,), how,
            )  # fmt: skip
    elif hook.when == "interpreter-start":
        hides = bool(_HIDES.search(hook.what.encode("utf-8", "replace")))
        yield Finding(
            "acquire/runs-at-start", "Runs at every start of the interpreter", "high" if hides else "medium", "observed", "acquire",
            f"{hook.where} has code that runs whenever Python starts, whether the package is used or not" + (", and that decodes, runs or fetches something." if hides else "."), (place,), how,
        )  # fmt: skip
    elif hook.when == "editor-start":
        yield Finding(
            "acquire/runs-in-editor",
            "Runs whenever the editor starts",
            "info",
            "observed",
            "acquire",
            f"{hook.where}: {hook.what}.",
            (place,),
            how,
        )
    else:
        yield Finding(
            "acquire/runs-at-uninstall",
            "Runs a program when it is removed",
            "info",
            "observed",
            "acquire",
            f"{hook.where} has {hook.what!r} run.",
            (place,),
            how,
        )


def read_manifest(path: Path) -> dict[str, Any]:
    """A package.json; {} where it can't be read."""
    try:
        value = json.loads(_read(path))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _file(tree: Path, path: Path) -> Path | None:
    """A file of the tree that a name leads to, with the endings that Node.js tries."""
    for candidate in (
        path,
        *(path.with_name(path.name + ending) for ending in (".js", ".cjs", ".mjs", ".json")),
        path / "index.js",
    ):
        try:
            resolved = candidate.resolve()
            if resolved.is_relative_to(tree.resolve()) and resolved.is_file():
                return tree / resolved.relative_to(tree.resolve())
        except OSError:
            continue
    return None


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_READ_BYTES)
    except OSError:
        return b""
