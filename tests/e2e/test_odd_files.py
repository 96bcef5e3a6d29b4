"""Files that are no text, no file or not the workspace's: the model gets a clear word and the run goes on."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from developer import Developer, Endpoint, call, says, shell

pytestmark = pytest.mark.enable_socket
Start = Callable[..., Endpoint]


def test_files_that_can_not_be_read_or_edited_are_told_and_left_alone(dev: Developer, upstream: Start) -> None:
    with (dev.repo / "huge.bin").open("wb") as file:
        file.truncate(2 * 1024**3)
    (dev.repo / "binary.dat").write_bytes(bytes(range(256)) * 20)
    (dev.repo / "latin.txt").write_bytes("café naïve\n".encode("latin-1"))
    os.mkfifo(dev.repo / "pipe")
    outside = dev.room / "outside.txt"
    outside.write_text("TOPSECRET\n", "utf-8")
    (dev.repo / "link").symlink_to(outside)
    (dev.repo / "up").symlink_to(dev.room)
    told = {
        "huge.bin": "2,147,483,648 bytes",
        "binary.dat": "not text but binary data",
        "latin.txt": "café naïve",
        "pipe": "is a FIFO",
        "link": "symlink that leads out of the workspace",
        "up/outside.txt": "symlink that leads out of the workspace",
        "../outside.txt": "is outside of the workspace",
        "/etc/passwd": "is outside of the workspace",
        "absent": "does not exist",
    }
    places = ["pipe", "link", "up/new.txt", "../new.txt"]
    endpoint = upstream(
        says("", *(call("read", path=path) for path in told)),
        says("", *(call("write", path=path, content="x") for path in places)),
        says("", *(call("edit", path=path, edits=[{"old": "é", "new": "e"}]) for path in ("binary.dat", "latin.txt"))),
        says("", call("search", pattern="TOPSECRET"), call("glob", pattern="**/*"), call("symbols")),
        shell("cat link ../outside.txt up/outside.txt"),
        says("All done."),
    )
    said = dev.run(endpoint)
    assert said.code == 0, said.err
    for text, wanted in zip(endpoint.results(1), told.values(), strict=True):
        assert wanted in text
    for text in endpoint.results(2)[len(told) :]:
        assert "FIFO" in text or "out of the workspace" in text or "outside of the workspace" in text
    assert (dev.repo / "latin.txt").read_bytes() == "cafe naïve\n".encode("latin-1")
    assert "TOPSECRET" not in "\n".join(endpoint.results())
    assert outside.read_text("utf-8") == "TOPSECRET\n"
    assert not (dev.room / "new.txt").exists()
    assert dev.mohist("runs", "undo", "last").code == 0
    assert (dev.repo / "latin.txt").read_bytes() == "café naïve\n".encode("latin-1")
