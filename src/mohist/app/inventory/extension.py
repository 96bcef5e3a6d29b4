"""Extensions of editors that are made like VS Code, plug-ins of JetBrains' editors, and such editors themselves."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from mohist.app.inventory.found import Found, Inventory, is_file
from mohist.app.inventory.package import is_known
from mohist.policy.register import Tool, tool_named

_EDITORS: Final = (
    *(".vscode", ".vscode-insiders", ".vscode-oss", ".vscode-server", ".vscode-server-insiders", ".vscode-remote"),
    *(
        ".cursor",
        ".cursor-server",
        ".windsurf",
        ".windsurf-server",
        ".windsurf-next",
        ".trae",
        ".trae-cn",
        ".trae-server",
    ),
    *(
        ".qoder",
        ".qoder-server",
        ".kiro",
        ".kiro-server",
        ".antigravity",
        ".void-editor",
        ".vscodium-server",
        ".codebuddy",
    ),
)
_BUILT_IN: Final = ("usr/share/*/resources/app", "opt/*/resources/app", "Applications/*/Contents/Resources/app")
_JETBRAINS: Final = (
    *(".local/share/JetBrains/*", "Library/Application Support/JetBrains/*/plugins"),
    *(".local/share/Google/*", "Library/Application Support/Google/*/plugins"),
)
AGENTIC: Final = frozenset(
    {"cursor", "windsurf", "trae", "trae-cn", "qoder", "kiro", "antigravity", "void", "codebuddy"}
)
"""Editors that are coding tools by themselves, by `applicationName`; others are what extensions make of them."""
_ID: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,120}")
_FOLDER: Final = re.compile(r"(.+?)-(\d[0-9A-Za-z.+-]*?)(?:-(?:linux|darwin|win32|alpine|web|universal)[a-z0-9-]*)?")
_MAX_JAR_BYTES: Final = 512 * 1024 * 1024
_MAX_PLUGIN_BYTES: Final = 1024 * 1024
_MAX_JARS: Final = 400
# Of XML that strangers wrote no more is read than these two.
_PLUGIN_ID: Final = re.compile(r"<id>\s*([^<\s][^<]{0,199}?)\s*</id>")
_PLUGIN_VERSION: Final = re.compile(r"<version>\s*([^<\s]{1,100})\s*</version>")


def search(inventory: Inventory, root: Path, homes: Iterable[Path]) -> None:
    """Adds the extensions, plug-ins and editors of a machine."""
    apps = [app for pattern in _BUILT_IN for app in inventory.matching(root, pattern)]
    for app in apps:
        inventory.found += _editor(inventory, app)
    folders = [app / "extensions" for app in apps]
    homes = list(homes)
    folders += [home / editor / "extensions" for home in homes for editor in _EDITORS]
    for folder in folders:
        inventory.found += _extensions(inventory, folder)
    for home in homes:
        for pattern in _JETBRAINS:
            for folder in inventory.matching(home, pattern):
                inventory.found += _plugins(inventory, folder)


def _editor(inventory: Inventory, app: Path) -> Iterator[Found]:
    product = inventory.json(app / "product.json")
    name = product.get("applicationName") if isinstance(product, dict) else None
    if not isinstance(name, str) or not _ID.fullmatch(name):
        return
    # What a fork counts by itself stands beside the version of the editor that it was made from.
    own = next((product[key] for key in product if key.lower() == f"{name.lower()}version"), product.get("version"))
    version = own if isinstance(own, str) else ""
    yield Found(Tool((f"editor:{name.lower()}",), version), "editor", str(app), name.lower() in AGENTIC)


def _extensions(inventory: Inventory, folder: Path) -> Iterator[Found]:
    gone = inventory.json(folder / ".obsolete")
    for one in inventory.listed(folder):
        if not is_file(one / "package.json") or (isinstance(gone, dict) and gone.get(one.name) is True):
            continue
        said = inventory.json(one / "package.json")
        publisher, name, version = (
            (said.get("publisher"), said.get("name"), said.get("version"))
            if isinstance(said, dict)
            else (None, None, None)
        )
        if isinstance(publisher, str) and isinstance(name, str) and _ID.fullmatch(publisher) and _ID.fullmatch(name):
            identity, counted = f"{publisher}.{name}", version if isinstance(version, str) else ""
        else:
            # A broken or lying manifest does not hide it: the folder has the name too.
            named = _FOLDER.fullmatch(one.name)
            identity, counted = (named[1], named[2]) if named else (one.name, "")
        tool = tool_named(f"vscode:{identity}", counted)
        yield Found(tool, "extension", str(one), is_known(tool))


def _plugins(inventory: Inventory, folder: Path) -> Iterator[Found]:
    for one in inventory.listed(folder):
        jars = [one] if one.suffix == ".jar" else [jar for jar in inventory.listed(one / "lib") if jar.suffix == ".jar"]
        text = (inventory.read(one / "META-INF" / "plugin.xml", _MAX_PLUGIN_BYTES) or b"").decode("utf-8", "replace")
        for jar in jars[:_MAX_JARS]:
            text = text or _descriptor(inventory, jar)
        if (named := _PLUGIN_ID.search(text)) is None:
            continue
        counted = _PLUGIN_VERSION.search(text)
        tool = tool_named(f"jetbrains:{named[1]}", counted[1] if counted else "")
        yield Found(tool, "plugin", str(one), is_known(tool))


def _descriptor(inventory: Inventory, jar: Path) -> str:
    """`plugin.xml` of a jar; empty: it has none."""
    try:
        if not is_file(jar) or jar.stat().st_size > _MAX_JAR_BYTES:
            return ""
        with zipfile.ZipFile(jar) as archive, archive.open("META-INF/plugin.xml") as file:
            return file.read(_MAX_PLUGIN_BYTES).decode("utf-8", "replace")
    except KeyError:
        return ""
    except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, ValueError) as error:
        inventory.trouble(jar, f"can't be read as a jar: {type(error).__name__}")
        return ""
