"""The list of trusted projects: whole, private, and bound to what was looked at."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from fakes.clock import FakeClock
from mohist.app.errors import TrustError
from mohist.app.trust import TrustStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "trust.json"


@pytest.fixture
def store(path: Path) -> TrustStore:
    return TrustStore(path, FakeClock())


def test_nothing_is_trusted_and_nothing_is_written_before_it_is_asked_for(store: TrustStore, path: Path) -> None:
    assert not store.is_trusted(Path("/src/a"), "d1")
    assert not store.untrust(Path("/src/a"))
    assert not path.parent.exists()


def test_trust_is_bound_to_the_root_and_the_digest(store: TrustStore, tmp_path: Path) -> None:
    store.trust(tmp_path / "a", "d1")
    assert store.is_trusted(tmp_path / "a", "d1")
    assert not store.is_trusted(tmp_path / "a", "d2")
    assert not store.is_trusted(tmp_path / "b", "d1")
    assert not store.is_trusted(tmp_path / "a" / "vendored", "d1"), "a repository inside is another one"
    store.trust(tmp_path / "a", "d2")
    assert not store.is_trusted(tmp_path / "a", "d1")
    assert [(entry.root, entry.digest) for entry in store.listed()] == [(tmp_path / "a", "d2")]


def test_another_way_to_the_same_folder_is_the_same_project(store: TrustStore, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    store.trust(tmp_path / "link", "d")
    assert store.is_trusted(tmp_path / "real", "d")


def test_trust_can_be_taken_back(store: TrustStore, tmp_path: Path) -> None:
    store.trust(tmp_path / "a", "d")
    assert store.untrust(tmp_path / "a")
    assert not store.untrust(tmp_path / "a")
    assert not store.is_trusted(tmp_path / "a", "d")


def test_the_list_is_readable_by_its_owner_alone(store: TrustStore, path: Path) -> None:
    before = os.umask(0)
    try:
        store.trust(Path("/src/a"), "d")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert {item.name for item in path.parent.iterdir()} == {"trust.json", "trust.json.lock"}


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"version": 2, "roots": {}}', '{"version": 1, "roots": {"/a": "d"}}', '{"version": 1']
)
def test_a_damaged_list_trusts_nobody(store: TrustStore, path: Path, text: str) -> None:
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    with pytest.raises(TrustError, match="damaged"):
        store.is_trusted(Path("/a"), "d")


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_list_that_others_could_have_written_trusts_nobody(store: TrustStore, path: Path, mode: int) -> None:
    store.trust(Path("/src/a"), "d")
    path.chmod(mode)
    with pytest.raises(TrustError, match="Others could"):
        store.is_trusted(Path("/src/a"), "d")


def test_a_list_behind_a_symlink_or_of_another_kind_trusts_nobody(
    store: TrustStore, path: Path, tmp_path: Path
) -> None:
    store.trust(Path("/src/a"), "d")
    path.rename(tmp_path / "moved.json")
    path.symlink_to(tmp_path / "moved.json")
    with pytest.raises(TrustError):
        store.is_trusted(Path("/src/a"), "d")
    path.unlink()
    os.mkfifo(path, 0o600)
    with pytest.raises(TrustError):
        store.is_trusted(Path("/src/a"), "d")
    path.unlink()
    path.mkdir(mode=0o700)
    with pytest.raises(TrustError):
        store.is_trusted(Path("/src/a"), "d")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_list_of_another_owner_trusts_nobody(store: TrustStore, path: Path) -> None:
    store.trust(Path("/src/a"), "d")
    os.chown(path, 12345, -1)
    with pytest.raises(TrustError, match="Others could"):
        store.is_trusted(Path("/src/a"), "d")


def test_many_writers_lose_nothing(path: Path, tmp_path: Path) -> None:
    roots = [tmp_path / f"p{number}" for number in range(12)]
    threads = [threading.Thread(target=TrustStore(path, FakeClock()).trust, args=(root, "d")) for root in roots]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert {entry.root for entry in TrustStore(path, FakeClock()).listed()} == set(roots)
