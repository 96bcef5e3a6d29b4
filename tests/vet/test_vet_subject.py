"""What people type is read as one subject, or answered with what would be one."""

from __future__ import annotations

from pathlib import Path

import pytest

from mohist.vet import SubjectError, parse


@pytest.mark.parametrize(
    ("text", "kind", "name", "version", "exact"),
    [
        ("npm:client@1.2.3", "npm", "client", "1.2.3", True),
        ("npm:@team/client@1.2.3-beta.1", "npm", "@team/client", "1.2.3-beta.1", True),
        ("npm:@team/client", "npm", "@team/client", "", False),
        ("npm:client@latest", "npm", "client", "latest", False),
        ("pypi:some-client==0.86.2", "pypi", "some-client", "0.86.2", True),
        ("pypi:some_client@1.0rc1", "pypi", "some_client", "1.0rc1", True),
        ("pypi:some-client[all]==1.0", "pypi", "some-client", "1.0", True),
        ("pypi:client>=1", "pypi", "", "", False),
    ],
)
def test_packages_are_named_with_their_version(
    tmp_path: Path, text: str, kind: str, name: str, version: str, exact: bool
) -> None:
    if not name:
        with pytest.raises(SubjectError):
            parse(text, cwd=tmp_path)
        return
    subject = parse(text, cwd=tmp_path)
    assert (subject.kind, subject.name, subject.version, subject.exact) == (kind, name, version, exact)


@pytest.mark.parametrize(
    "text",
    ["npm:", "npm:../x", "npm:a b@1.0.0", "pypi:", "nothing-there", "mcp:", "mcp:'open", "mcp:no-such-program-here"],
)
def test_what_is_no_subject_is_answered_with_the_forms(tmp_path: Path, text: str) -> None:
    with pytest.raises(SubjectError):
        parse(text, cwd=tmp_path, search_path="")


@pytest.mark.parametrize(
    ("command", "name", "version"),
    [
        ("npx -y @team/server@1.0.0 --port 1", "@team/server", "1.0.0"),
        ("npx --package=@team/server@1.0.0 run", "@team/server", "1.0.0"),
        ("npm exec server@2.0.0", "server", "2.0.0"),
        ("bunx server@2.0.0", "server", "2.0.0"),
        ("uvx --python 3.12 server==1.0", "server", "1.0"),
        ("uvx --from server==1.0 program", "server", "1.0"),
        ("uv tool run server@1.0", "server", "1.0"),
        ("pipx run --spec server==1.0 program", "server", "1.0"),
    ],
)
def test_what_a_launcher_would_fetch_is_the_servers_package(
    tmp_path: Path, command: str, name: str, version: str
) -> None:
    subject = parse(f"mcp:{command}", cwd=tmp_path)
    assert subject.package is not None
    assert (subject.kind, subject.package.name, subject.package.version) == ("server", name, version)


def test_files_and_folders_are_known_by_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "skill").mkdir()
    (tmp_path / "skill" / "SKILL.md").write_text("x", encoding="utf-8")
    (tmp_path / "tool").write_text("x", encoding="utf-8")
    (tmp_path / "a.VSIX").write_text("x", encoding="utf-8")
    (tmp_path / "server.py").write_text("x", encoding="utf-8")
    kinds = {text: parse(text, cwd=tmp_path).kind for text in ("skill", "tool", "a.VSIX", ".")}
    assert kinds == {"skill": "skill", "tool": "executable", "a.VSIX": "extension", ".": "folder"}
    assert parse("mcp:python3 server.py", cwd=tmp_path).path == tmp_path / "server.py"


def test_a_servers_script_is_taken_with_its_package(tmp_path: Path) -> None:
    (tmp_path / "server" / "dist").mkdir(parents=True)
    (tmp_path / "server" / "package.json").write_text("{}", encoding="utf-8")
    (tmp_path / "server" / "dist" / "index.js").write_text("x", encoding="utf-8")
    assert parse("mcp:node server/dist/index.js --port 1", cwd=tmp_path).path == tmp_path / "server"
