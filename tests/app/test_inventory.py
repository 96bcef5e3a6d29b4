"""What coding tools are found on a machine: of every kind, whatever the files look like, and never a secret of them."""

from __future__ import annotations

import json
import os
import secrets
import zipfile
from datetime import date
from pathlib import Path

import pytest

from mohist.app.inventory.audit import Judged, audit, every_home, report, take_stock
from mohist.app.inventory.found import Inventory
from mohist.app.inventory.server import server_of
from mohist.policy.register import Register, parse_register

DAY = date(2026, 11, 23)
BANS = """
[[entry]]
id = "claude"
tool = "claude-code"
versions = "<2.1.326"
disposition = "banned"
reason = "It marks prompts"
alternative = "qwen-code"
first_step = "mohist govern -- qwen"

[[entry]]
id = "aider"
tool = "pypi:aider-chat"
versions = "<0.86"
disposition = "banned"
reason = "Old"
alternative = "aider 0.86.2"
first_step = "pipx upgrade aider-chat"

[[entry]]
id = "github"
tool = "npm:@modelcontextprotocol/server-github"
disposition = "banned"
reason = "Not examined"
alternative = "the company's own"
first_step = "ask platform"
"""


def put(path: Path, said: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(said if isinstance(said, str) else json.dumps(said), encoding="utf-8")
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "machine"


@pytest.fixture
def home(root: Path) -> Path:
    folder = root / "home" / "ann"
    folder.mkdir(parents=True)
    return folder


def npm(modules: Path, name: str, version: str) -> Path:
    return put(modules / name / "package.json", {"name": name, "version": version}).parent


def python(site: Path, name: str, version: str) -> Path:
    folder = site / f"{name.replace('-', '_')}-{version}.dist-info"
    put(folder / "METADATA", f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n\nVersion: 9.9\n")
    return folder


def names(inventory: Inventory) -> set[tuple[str, str, str]]:
    """Kind, first name, version of all that is known."""
    return {(one.kind, one.tool.names[0], one.tool.version) for one in inventory.found if one.known}


def judged(inventory: Inventory, text: str = BANS) -> dict[str, str]:
    return {one.found.tool.names[0]: one.word for one in audit(inventory, [parse_register(text, "test")], DAY)}


# Packages and programs


@pytest.mark.parametrize(
    "place",
    [
        "{root}/usr/lib/node_modules",
        "{root}/usr/local/lib/node_modules",
        "{root}/opt/homebrew/lib/node_modules",
        "{home}/.npm-global/lib/node_modules",
        "{home}/.nvm/versions/node/v24.1.0/lib/node_modules",
        "{home}/.local/share/mise/installs/node/24/lib/node_modules",
        "{home}/.bun/install/global/node_modules",
        "{home}/.local/share/pnpm/global/5/node_modules",
        "{home}/.npm/_npx/3f2a/node_modules",
        "{home}/my prefix/lib/node_modules",
    ],
)
def test_npm_packages_are_found_in_every_prefix(place: str, root: Path, home: Path) -> None:
    token = secrets.token_hex(20)
    put(home / ".npmrc", f"//registry.example.com/:_authToken={token}\nprefix=${{HOME}}/my prefix\n")
    npm(Path(place.format(root=root, home=home)), "@anthropic-ai/claude-code", "2.1.325")
    npm(Path(place.format(root=root, home=home)), "left-pad", "1.3.0")
    inventory = take_stock(root, [home], "")
    assert names(inventory) == {("npm-package", "npm:@anthropic-ai/claude-code", "2.1.325")}
    assert judged(inventory) == {"npm:@anthropic-ai/claude-code": "refused"}
    assert token not in str(inventory)


@pytest.mark.parametrize(
    "place",
    [
        "{root}/usr/lib/python3.13/site-packages",
        "{root}/usr/lib/python3/dist-packages",
        "{home}/.local/lib/python3.12/site-packages",
        "{home}/.local/share/pipx/venvs/aider-chat/lib/python3.12/site-packages",
        "{home}/.local/share/uv/tools/aider-chat/lib/python3.12/site-packages",
        "{home}/miniconda3/envs/ai/lib/python3.12/site-packages",
    ],
)
def test_python_packages_are_found_in_every_environment(place: str, root: Path, home: Path) -> None:
    python(Path(place.format(root=root, home=home)), "aider-chat", "0.85.1")
    inventory = take_stock(root, [home], "")
    assert names(inventory) == {("python-package", "pypi:aider-chat", "0.85.1")}
    assert judged(inventory) == {"pypi:aider-chat": "refused"}


def test_a_program_on_the_path_is_the_package_that_it_belongs_to_and_nothing_is_found_twice(
    root: Path, home: Path
) -> None:
    package = npm(root / "opt" / "tools" / "node_modules", "@qwen-code/qwen-code", "0.24.4")
    program = put(package / "cli.js", "#!/usr/bin/env node\n")
    program.chmod(0o755)
    bins = root / "usr" / "bin"
    bins.mkdir(parents=True)
    (bins / "qwen").symlink_to(program)
    inventory = take_stock(root, [home], str(bins))
    assert names(inventory) == {("npm-package", "npm:@qwen-code/qwen-code", "0.24.4")}
    assert len(inventory.found) == 1


def test_a_program_of_its_own_is_found_with_the_version_that_its_folder_says_and_is_not_started(
    root: Path, home: Path
) -> None:
    witness = root / "started"
    program = put(home / ".local/share/claude/versions/2.1.330", f"#!/bin/sh\ntouch '{witness}'\n")
    program.chmod(0o755)
    (home / ".local/bin").mkdir()
    (home / ".local/bin/claude").symlink_to(program)
    put(home / ".opencode/bin/opencode", f"#!/bin/sh\ntouch '{witness}'\n").chmod(0o755)
    inventory = take_stock(root, [home], "")
    assert names(inventory) == {("program", "program:claude", "2.1.330"), ("program", "program:opencode", "")}
    assert not witness.exists()


def test_a_program_whose_name_others_have_too_is_not_taken_for_the_coding_tool(root: Path, home: Path) -> None:
    put(home / ".local/bin/goose", "#!/bin/sh\n").chmod(0o755)
    inventory = take_stock(root, [home], "")
    assert names(inventory) == set()
    ban = BANS.replace('"claude-code"', '"goose"').replace("<2.1.326", "*")
    assert judged(inventory, ban) == {}
    assert judged(inventory, ban.replace('"goose"', '"program:goose"')) == {"program:goose": "refused"}


def test_homebrews_cellar_is_read(root: Path, home: Path) -> None:
    (root / "opt/homebrew/Cellar/aider/0.86.2_1").mkdir(parents=True)
    (root / "opt/homebrew/Caskroom/claude-code/2.1.100").mkdir(parents=True)
    (root / "opt/homebrew/Cellar/jq/1.7").mkdir(parents=True)
    inventory = take_stock(root, [home], "")
    assert names(inventory) == {("brew", "brew:aider", "0.86.2"), ("brew", "brew:claude-code", "2.1.100")}
    assert judged(inventory) == {"brew:aider": "allowed", "brew:claude-code": "refused"}


def test_a_part_for_one_platform_is_no_pre_release_of_its_own_package(root: Path, home: Path) -> None:
    put(
        root / "usr/lib/node_modules/@openai/codex-linux-x64/package.json",
        {"name": "@openai/codex", "version": "0.169.0-linux-x64"},
    )
    ban = BANS.replace('"claude-code"', '"codex"').replace("<2.1.326", "<0.169.0")
    assert judged(take_stock(root, [home], ""), ban) == {"npm:@openai/codex": "allowed"}


def test_a_package_whose_file_is_broken_is_there_all_the_same(root: Path, home: Path) -> None:
    put(root / "usr/lib/node_modules/@anthropic-ai/claude-code/package.json", '{"name": broken')
    inventory = take_stock(root, [home], "")
    assert judged(inventory) == {"npm:@anthropic-ai/claude-code": "refused"}
    assert [why for _, why in inventory.troubles] == ["is no JSON"]


# Extensions and plug-ins


@pytest.mark.parametrize("editor", [".vscode", ".cursor", ".windsurf", ".trae", ".trae-cn", ".vscode-server", ".qoder"])
def test_extensions_are_found_in_every_editors_folder_and_those_that_are_gone_are_not(
    editor: str, home: Path, root: Path
) -> None:
    folder = home / editor / "extensions"
    put(
        folder / "saoudrizwan.claude-dev-3.9.0/package.json",
        {"publisher": "saoudrizwan", "name": "claude-dev", "version": "3.9.0"},
    )
    put(folder / "github.copilot-1.300.0-linux-x64/package.json", "{ broken")
    put(folder / "old.gone-1.0.0/package.json", {"publisher": "Anthropic", "name": "claude-code", "version": "1.0.0"})
    put(
        folder / "ms-python.python-2026.1/package.json",
        {"publisher": "ms-python", "name": "python", "version": "2026.1"},
    )
    put(folder / ".obsolete", {"old.gone-1.0.0": True})
    inventory = take_stock(root, [home], "")
    assert names(inventory) == {
        ("extension", "vscode:saoudrizwan.claude-dev", "3.9.0"),
        ("extension", "vscode:github.copilot", "1.300.0"),
    }


@pytest.mark.parametrize(
    "place", [".local/share/JetBrains/IntelliJIdea2026.2", "Library/Application Support/JetBrains/GoLand2026.1/plugins"]
)
def test_plugins_of_jetbrains_are_found_by_what_their_jar_says(place: str, home: Path, root: Path) -> None:
    lib = home / place / "github-copilot-intellij" / "lib"
    lib.mkdir(parents=True)
    with zipfile.ZipFile(lib / "core.jar", "w") as jar:
        jar.writestr(
            "META-INF/plugin.xml", "<idea-plugin><id>com.github.copilot</id><version>1.5.30-243</version></idea-plugin>"
        )
    (lib / "broken.jar").write_bytes(b"no zip")
    inventory = take_stock(root, [home], "")
    assert names(inventory) == {("plugin", "jetbrains:com.github.copilot", "1.5.30-243")}
    assert inventory.troubles == [(str(lib / "broken.jar"), "can't be read as a jar: BadZipFile")]


def test_editors_that_are_coding_tools_themselves_are_found(home: Path, root: Path) -> None:
    put(
        root / "usr/share/cursor/resources/app/product.json",
        {"applicationName": "cursor", "version": "1.105.0", "cursorVersion": "2.3.4"},
    )
    put(root / "usr/share/code/resources/app/product.json", {"applicationName": "code", "version": "1.107.0"})
    built_in = root / "usr/share/code/resources/app/extensions/copilot/package.json"
    put(built_in, {"publisher": "GitHub", "name": "copilot-chat", "version": "0.35.0"})
    assert names(take_stock(root, [home], "")) == {
        ("editor", "editor:cursor", "2.3.4"),
        ("extension", "vscode:github.copilot-chat", "0.35.0"),
    }


# Servers


def test_servers_are_found_in_the_settings_of_every_client_and_no_secret_of_them_is_kept(
    home: Path, root: Path, tmp_path: Path
) -> None:
    made = [secrets.token_hex(20) for _ in range(12)]
    keys = iter(made)
    github = {
        "command": "npx",
        "args": ["-y", "@modelcontextprotocol/server-github@2.0.1", "--token", next(keys)],
        "env": {"T": next(keys)},
    }
    hosted = {
        "url": f"https://user:{next(keys)}@mcp.example.com/{next(keys)}?key={next(keys)}",
        "headers": {"Authorization": next(keys)},
    }
    uvx = {
        "command": "env",
        "args": [f"KEY={next(keys)}", "uvx", "--from", "mcp-server-git==1.2", "mcp-server-git", next(keys)],
    }
    boxed = {
        "command": "docker",
        "args": ["run", "-i", "--rm", "-e", f"T={next(keys)}", "ghcr.io/github/github-mcp-server:v1"],
    }
    project = tmp_path / "shop"
    put(
        home / ".claude.json",
        {"mcpServers": {"github": github}, "projects": {"/src": {"mcpServers": {"here": hosted}}}},
    )
    put(
        home / ".codex/config.toml", f'[mcp_servers.git]\ncommand = "uvx"\nargs = ["mcp-server-time", "{next(keys)}"]\n'
    )
    put(home / ".cursor/mcp.json", {"mcpServers": {next(keys): hosted}})
    put(
        home / ".config/Code/User/mcp.json",
        '{ // servers\n "servers": {"a": {"command": "/opt/bin/own-server", "args": ["--t", "'
        + next(keys)
        + '"]},},\n}',
    )
    put(
        home / ".config/opencode/opencode.json",
        {"mcp": {"git": {"type": "local", "command": ["uvx", "mcp-server-git"]}}},
    )
    put(home / ".qwen/settings.json", {"mcpServers": {"uv": uvx}})
    put(home / ".gemini/settings.json", {"mcpServers": {"box": boxed}})
    put(home / ".config/Code/User/settings.json", {"mcp": {"servers": {"s": hosted}}, "editor.fontSize": 12})
    put(project / ".mcp.json", {"mcpServers": {"b": github}})
    put(root / "etc/claude-code/managed-mcp.json", {"mcpServers": {"m": hosted}})
    inventory = take_stock(root, [home], "", [project])
    found = sorted((one.used_by, one.tool.names[0], one.tool.version, *one.tool.claims) for one in inventory.found)
    assert found == [
        ("claude-code", "mcp:mcp.example.com", "", "mcp:here"),
        ("claude-code", "mcp:mcp.example.com", "", "mcp:m"),
        ("claude-code", "npm:@modelcontextprotocol/server-github", "2.0.1", "mcp:b"),
        ("claude-code", "npm:@modelcontextprotocol/server-github", "2.0.1", "mcp:github"),
        ("codex", "pypi:mcp-server-time", "", "mcp:git"),
        ("cursor", "mcp:mcp.example.com", "", "mcp:unnamed"),
        ("editor", "mcp:mcp.example.com", "", "mcp:s"),
        ("editor", "mcp:program:own-server", "", "mcp:a"),
        ("gemini-cli", "docker:ghcr.io/github/github-mcp-server", "", "mcp:box"),
        ("opencode", "pypi:mcp-server-git", "", "mcp:git"),
        ("qwen-code", "pypi:mcp-server-git", "1.2", "mcp:uv"),
    ]
    registers = [parse_register(BANS, "test")]
    said = json.dumps(report(audit(inventory, registers, DAY), inventory, registers, DAY)) + repr(inventory)
    assert not [key for key in made if key in said]
    assert inventory.troubles == []


@pytest.mark.parametrize(
    ("server", "name", "version"),
    [
        ({"command": "npx", "args": ["-y", "@scope/server@latest"]}, "npm:@scope/server", ""),
        ({"command": "npx -y server-x@1.0.0"}, "npm:server-x", "1.0.0"),
        ({"command": "/usr/local/bin/npx", "args": ["--package", "@a/b@3.1.4", "run-it"]}, "npm:@a/b", "3.1.4"),
        ({"command": "cmd", "args": ["/c", "npx", "-y", "server-x"]}, "npm:server-x", ""),
        ({"command": "pnpm", "args": ["dlx", "server-x"]}, "npm:server-x", ""),
        ({"command": "bunx", "args": ["server-x"]}, "npm:server-x", ""),
        ({"command": "uv", "args": ["tool", "run", "server_y@0.3"]}, "pypi:server-y", "0.3"),
        ({"command": "pipx", "args": ["run", "--spec", "server-y==0.3", "y"]}, "pypi:server-y", "0.3"),
        ({"command": {"path": "npx", "args": ["server-x"]}}, "npm:server-x", ""),
        ({"httpUrl": "https://MCP.Example.com:8443/x"}, "mcp:mcp.example.com", ""),
        ({"command": "npx", "args": ["git+https://example.com/x.git"]}, "mcp:program:npx", ""),
        ({"command": "npx"}, "mcp:program:npx", ""),
        ({"command": ""}, "mcp:program:unknown", ""),
        ({"command": 7, "args": "x"}, "mcp:program:unknown", ""),
        ({"url": "https://[bad"}, "mcp:program:unknown", ""),
        ({}, "mcp:program:unknown", ""),
    ],
)
def test_a_server_is_named_by_what_it_runs_or_where_it_is(server: dict, name: str, version: str) -> None:
    tool = server_of("x", server)
    assert (tool.names[0], tool.version) == (name, version)


@pytest.mark.parametrize("words", [["npx", "{}"], ["uvx", "{}"], ["docker", "run", "{}"], ["/opt/{}"], ["{}"]])
def test_a_key_in_the_place_of_a_name_is_not_taken_for_one(words: list[str]) -> None:
    key = secrets.token_hex(20)
    command, *args = (word.format(key) for word in words)
    assert key not in repr(server_of(key, {"command": command, "args": args}))
    assert key not in repr(server_of("x", {"url": f"https://{key}.example.com/"}))


@pytest.mark.parametrize(
    "said",
    ["[1, 2", "7", "null", '"x"', '{"mcpServers": 7}', '{"mcpServers": {"a": 7}}', "", "[" * 5000, "{" * 100_000],
)
def test_settings_that_are_no_settings_stop_nothing(said: str, home: Path, root: Path) -> None:
    put(home / ".claude.json", said)
    put(home / ".codex/config.toml", said)
    put(home / ".cursor/mcp.json", {"mcpServers": {"a": {"url": "https://mcp.example.com"}}})
    inventory = take_stock(root, [home], "")
    assert [one.tool.names[0] for one in inventory.found] == ["mcp:mcp.example.com"]


def test_a_pipe_in_place_of_a_file_is_not_waited_for(home: Path, root: Path) -> None:
    os.mkfifo(home / ".claude.json")
    inventory = take_stock(root, [home], "")
    assert inventory.troubles == [(str(home / ".claude.json"), "is no plain file")]


# All together


def test_a_home_that_cant_be_looked_into_is_said_and_stops_nothing(root: Path, home: Path) -> None:
    npm(home / ".npm-global/lib/node_modules", "@openai/codex", "0.169.0")
    # What the system refuses to look up, whoever asks.
    away = root / "home" / ("n" * 300)
    inventory = take_stock(root, [away, home], f"{away}/bin", [away])
    assert names(inventory) == {("npm-package", "npm:@openai/codex", "0.169.0")}
    assert (str(away), "can't be looked into") in inventory.troubles


def test_the_refused_come_first_with_what_to_do_and_every_home_is_seen(root: Path, home: Path) -> None:
    other = root / "home" / "bob"
    npm(other / ".npm-global/lib/node_modules", "@anthropic-ai/claude-code", "2.1.1")
    npm(home / ".npm-global/lib/node_modules", "@openai/codex", "0.169.0")
    homes = every_home(Inventory(), root)
    assert homes == [home, other]
    registers = [parse_register(BANS, "register.toml")]
    inventory = take_stock(root, homes, "")
    said = report(audit(inventory, registers, DAY), inventory, registers, DAY)
    assert (said["refused"], said["allowed"], said["registers"]) == (1, 1, ["register.toml"])
    first = said["found"][0]
    assert (first["tool"], first["outcome"], first["entry"]) == ("claude-code", "refused", "claude")
    assert (first["alternative"], first["first_step"]) == ("qwen-code", "mohist govern -- qwen")
    assert first["place"].startswith(str(other))


def test_where_only_what_is_listed_may_be_there_other_packages_are_none_of_its_business(root: Path, home: Path) -> None:
    npm(root / "usr/lib/node_modules", "npm", "11.0.0")
    npm(root / "usr/lib/node_modules", "@openai/codex", "0.169.0")
    found: list[Judged] = audit(
        take_stock(root, [home], ""), [parse_register('[register]\nunlisted = "deny"\n', "r")], DAY
    )
    assert [(one.found.tool.names[0], one.word) for one in found] == [("npm:@openai/codex", "refused")]


def test_no_register_refuses_nothing(root: Path, home: Path) -> None:
    npm(root / "usr/lib/node_modules", "@openai/codex", "0.169.0")
    assert [one.word for one in audit(take_stock(root, [home], ""), [], DAY)] == ["allowed"]
    assert [one.word for one in audit(take_stock(root, [home], ""), [Register()], DAY)] == ["allowed"]
