"""Instruction files: found by folder, bounded, text only."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from mohist.agent.instruction import MAX_FILE_BYTES, MAX_TOTAL_BYTES, Instruction, find_instructions


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def names(found: tuple[Instruction, ...], root: Path) -> list[str]:
    return [item.path.relative_to(root.resolve()).as_posix() for item in found]


def only(found: tuple[Instruction, ...]) -> Instruction:
    (item,) = found
    return item


def test_files_are_found_from_the_root_down_to_the_working_folder(tmp_path: Path) -> None:
    for name in (
        "AGENTS.md",
        "a/CLAUDE.md",
        "a/b/AGENTS.md",
        "other/AGENTS.md",
        ".qoder/rules/x.md",
        "a/.trae/rules/y.md",
    ):
        put(tmp_path / name, name)
    found = find_instructions(tmp_path, tmp_path / "a" / "b")
    assert names(found, tmp_path) == [
        "AGENTS.md",
        ".qoder/rules/x.md",
        "a/CLAUDE.md",
        "a/.trae/rules/y.md",
        "a/b/AGENTS.md",
    ]
    assert [item.text for item in found] == names(found, tmp_path)


def test_the_folder_of_a_touched_file_brings_its_own(tmp_path: Path) -> None:
    put(tmp_path / "other" / "AGENTS.md", "theirs")
    assert find_instructions(tmp_path, tmp_path) == ()
    found = find_instructions(tmp_path, tmp_path, [tmp_path / "other" / "deep" / "new.py"])
    assert names(found, tmp_path) == ["other/AGENTS.md"]


def test_digest_and_size_are_of_the_whole_file(tmp_path: Path) -> None:
    put(tmp_path / "AGENTS.md", "é\n" * 10)
    item = only(find_instructions(tmp_path, tmp_path))
    assert item.size_bytes == 30
    assert item.sha256 == hashlib.sha256("é\n".encode() * 10).hexdigest()
    assert not item.truncated


def test_all_texts_together_stay_within_the_bound(tmp_path: Path) -> None:
    put(tmp_path / "AGENTS.md", "é line\n" * 4_000)
    put(tmp_path / "CLAUDE.md", "other\n" * 4_000)
    found = find_instructions(tmp_path, tmp_path)
    assert sum(len(item.text.encode()) for item in found) <= MAX_TOTAL_BYTES
    assert [item.truncated for item in found] == [False, True]
    assert found[1].text.endswith("other\n")
    assert "cut to" in found[1].warnings[0]
    assert found[1].size_bytes == 24_000


def test_a_copy_of_the_neighbour_is_not_said_twice(tmp_path: Path) -> None:
    put(tmp_path / "AGENTS.md", "one")
    (tmp_path / "CLAUDE.md").symlink_to("AGENTS.md")
    assert names(find_instructions(tmp_path, tmp_path), tmp_path) == ["AGENTS.md"]


@pytest.mark.parametrize("kind", ["outside", "no instruction", "git", "FIFO", "folder", "huge", "dangling"])
def test_what_is_no_plain_file_of_the_workspace_is_refused_with_a_warning(tmp_path: Path, kind: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    path = root / "AGENTS.md"
    match kind:
        case "outside":
            path.symlink_to(put(tmp_path / "secret.md", "secret"))
        case "no instruction":
            path.symlink_to(put(root / ".env", "secret"))
        case "git":
            path.symlink_to(put(root / ".git" / "secret.md", "secret"))
        case "FIFO":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "huge":
            put(path, "a" * (MAX_FILE_BYTES + 1))
        case _:
            path.symlink_to(root / "absent.md")
    item = only(find_instructions(root, root))
    assert item.text == item.sha256 == ""
    assert len(item.warnings) == 1


def test_a_working_folder_that_leads_out_counts_as_the_root(tmp_path: Path) -> None:
    root = tmp_path / "root"
    put(tmp_path / "out" / "AGENTS.md", "theirs")
    put(root / "AGENTS.md", "ours")
    (root / "link").symlink_to(tmp_path / "out")
    found = find_instructions(root, root / "link", [tmp_path / "out" / "x", root / ".." / "out" / "y"])
    assert [item.text for item in found] == ["ours"]


def test_a_rule_folder_that_leads_out_is_not_read(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    put(tmp_path / "out" / "rules" / "x.md", "theirs")
    (root / ".qoder").symlink_to(tmp_path / "out")
    assert [item.text for item in find_instructions(root, root)] == [""]


@pytest.mark.parametrize(
    ("front", "globs", "applies"),
    [
        ("globs: *.py, src/**/*.ts", ("*.py", "src/**/*.ts"), ["a.py", "src/a.py", "src/x/a.ts", "src/x.py"]),
        ('glob: "*.py"', ("*.py",), ["a.py", "src/a.py", "src/x.py"]),
        ("globs: [\"docs/*.md\", 'x.py']", ("docs/*.md", "x.py"), ["docs/a.md", "src/x.py"]),
        ("globs:\n  - a.py\n  - docs/**", ("a.py", "docs/**"), ["a.py", "docs/a.md", "src/a.py"]),
        ("globs: *.py\nalwaysApply: true", (), ["a.py", "src/a.py", "src/x/a.ts", "docs/a.md", "src/x.py"]),
        ("trigger: always_on", (), ["a.py", "src/a.py", "src/x/a.ts", "docs/a.md", "src/x.py"]),
    ],
)
def test_front_matter_says_which_files_a_rule_is_for(
    tmp_path: Path, front: str, globs: tuple[str, ...], applies: list[str]
) -> None:
    put(tmp_path / ".trae" / "rules" / "x.md", f"---\n{front}\n---\nBe kind.\n")
    item = only(find_instructions(tmp_path, tmp_path))
    assert item.globs == globs
    assert "Be kind." in item.text
    candidates = ["a.py", "src/a.py", "src/x/a.ts", "docs/a.md", "src/x.py"]
    assert [name for name in candidates if item.applies_to(tmp_path.resolve() / name)] == [
        name for name in candidates if name in applies
    ]
    assert not item.applies_to(Path("/elsewhere/a.py"))


def test_a_rule_for_calling_by_hand_is_left_out(tmp_path: Path) -> None:
    put(tmp_path / ".qoder" / "rules" / "x.md", "---\ntrigger: manual\n---\nx")
    assert find_instructions(tmp_path, tmp_path) == ()


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("be\u200b kind", "zero-width"),
        ("x" + "".join(chr(0xE0000 + ord(char)) for char in "leak"), "tag"),
        ("a \u202etxt.exe", "text-direction"),
        ("a\U000e0101", "variation-selector"),
        ("a\x1b[8m", "control"),
        ("a \U0001f469\u200b\U0001f4bb", "zero-width"),
    ],
)
def test_invisible_characters_are_told_and_kept(tmp_path: Path, text: str, kind: str) -> None:
    put(tmp_path / "AGENTS.md", "first\n" + text)
    item = only(find_instructions(tmp_path, tmp_path))
    assert item.text == "first\n" + text
    assert kind in item.warnings[0]
    assert "line 2" in item.warnings[0]


def test_ordinary_text_of_any_script_is_no_warning(tmp_path: Path) -> None:
    put(tmp_path / "AGENTS.md", "\ufeffGrüße, 墨家, \U0001f469\u200d\U0001f4bb\r\n\tx user@example.org @handle\n")
    assert only(find_instructions(tmp_path, tmp_path)).warnings == ()


def test_imports_are_told_and_not_followed(tmp_path: Path) -> None:
    put(tmp_path / "CLAUDE.md", "@docs/secret.md\n- @~/.claude/me.md\n")
    put(tmp_path / "docs" / "secret.md", "secret")
    item = only(find_instructions(tmp_path, tmp_path))
    assert "secret.md" in item.warnings[0]
    assert "not followed" in item.warnings[1]
    assert item.text == "@docs/secret.md\n- @~/.claude/me.md\n"


def test_bytes_that_are_not_text_are_told(tmp_path: Path) -> None:
    (tmp_path / "AGENTS.md").write_bytes(b"a\xff\n")
    item = only(find_instructions(tmp_path, tmp_path))
    assert item.text == "a\ufffd\n"
    assert "UTF-8" in item.warnings[0]
