"""Licences of Go modules and Rust crates, read where they lie on this machine or in the change; else a person decides."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from change_room import changed, rule_of

from mohist.delivery.check.dependency import dependency_findings
from mohist.delivery.check.licence import LicenceRule, licence_of_text
from mohist.delivery.check.shelf import Known, Shelf, caches, tells_licence

MIT = """MIT License

Copyright (c) 2024 Ann

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files, to deal in the Software without restriction. The above copyright notice and this permission
notice shall be included in all copies or substantial portions of the Software.
"""
BSD = """Copyright (c) 2009 The Authors. Redistribution and use in source and binary forms, with or without modification,
are permitted. Neither the name of the holder may be used to endorse or promote products derived from this software.
"""
GPL = "GNU GENERAL PUBLIC LICENSE\n   Version 3, 29 June 2007\n"
GO_MOD = """module shop

require (
\tgithub.com/Ann/Left v1.2.0
\texample.com/right v0.1.0
\texample.com/none v0.1.0
\texample.com/deep v0.2.0 // indirect
)
"""


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def crate(path: Path, name: str, manifest: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as packed:
        row = tarfile.TarInfo(f"{name}/Cargo.toml")
        row.size = len(manifest)
        packed.addfile(row, io.BytesIO(manifest.encode()))


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    cache, registry = tmp_path / "mod", tmp_path / "registry"
    put(cache / "github.com/!ann/!left@v1.2.0/LICENSE", MIT)
    put(cache / "example.com/right@v0.1.0/COPYING.txt", GPL)
    put(cache / "example.com/right@v0.2.0/LICENSE", MIT)
    put(cache / "example.com/two@v1.0.0/LICENSE", MIT)
    put(cache / "example.com/two@v1.0.0/LICENSE-3RD", "All is allowed but on Tuesdays.")
    put(cache / "example.com/both@v1.0.0/LICENSE-MIT", MIT)
    put(cache / "example.com/both@v1.0.0/LICENSE-BSD", BSD)
    put(registry / "src/index-1/one-1.0.0/Cargo.toml", '[package]\nname = "one"\nlicense = "MIT OR Apache-2.0"\n')
    put(registry / "src/index-1/file-1.0.0/Cargo.toml", '[package]\nname = "file"\nlicense-file = "LICENSE"\n')
    put(registry / "src/index-1/file-1.0.0/LICENSE", BSD)
    crate(registry / "cache/index-1/packed-2.0.0.crate", "packed-2.0.0", '[package]\nlicense = "GPL-3.0-only"\n')
    (registry / "cache/index-1/torn-1.0.0.crate").write_bytes(b"\x1f\x8b no crate")
    vendored = {
        "vendor/example.com/none/LICENSE": BSD,
        "vendor/example.com/right/LICENSE": MIT,
        "vendor/held/Cargo.toml": '[package]\nlicense = "ISC"\n',
    }
    return Shelf((), (cache,), (registry,), vendored)


@pytest.mark.parametrize(
    ("ecosystem", "name", "version", "known"),
    [
        ("go", "github.com/Ann/Left", "v1.2.0", Known("MIT")),
        ("go", "example.com/right", "v0.1.0", Known("GPL-3.0-only")),
        ("go", "example.com/right", "v9.9.9", Known("MIT", "vendored")),
        ("go", "example.com/none", "v0.1.0", Known("BSD-3-Clause", "vendored")),
        ("go", "example.com/two", "v1.0.0", Known()),
        ("go", "example.com/both", "v1.0.0", Known("BSD-3-Clause AND MIT")),
        ("go", "example.com/../right", "v0.1.0", Known()),
        ("go", "example.com/right", "../right@v0.1.0", Known("MIT", "vendored")),
        ("cargo", "one", "1.0.0", Known("MIT OR Apache-2.0")),
        ("cargo", "file", "1.0.0", Known("BSD-3-Clause")),
        ("cargo", "packed", "2.0.0", Known("GPL-3.0-only")),
        ("cargo", "torn", "1.0.0", Known()),
        ("cargo", "held", "0.1.0", Known("ISC", "vendored")),
        ("cargo", "../one", "1.0.0", Known()),
        ("npm", "one", "1.0.0", Known()),
    ],
)
def test_a_licence_is_read_where_it_lies(shelf: Shelf, ecosystem: str, name: str, version: str, known: Known) -> None:
    assert shelf.licence(ecosystem, name, version) == known


def test_go_modules_are_judged_and_unknown_ones_are_a_persons(shelf: Shelf) -> None:
    rows = dependency_findings([changed("go.mod", "module shop\n", GO_MOD)], LicenceRule(("MIT",)), shelf)
    told = [(rule_of(row), row.severity, row.text) for row in rows]
    assert told == [
        (
            "dependency-licence",
            "major",
            "The dependency example.com/none v0.1.0 (go), licence BSD-3-Clause (as the change itself says), is not allowed.",
        ),
        (
            "dependency-licence",
            "major",
            "The dependency example.com/right v0.1.0 (go), licence GPL-3.0-only, is not allowed.",
        ),
        ("dependency", "note", "The dependency github.com/Ann/Left v1.2.0 (go), licence MIT, is new."),
        ("dependency-lock", "note", "1 new packages in the lock: example.com/deep v0.2.0."),
        (
            "dependency-licence",
            "major",
            "1 new packages in the lock whose licence is not known to be allowed: example.com/deep v0.2.0.",
        ),
    ]


def test_crates_are_judged_by_the_version_in_the_lock(shelf: Shelf) -> None:
    lock = "".join(f'[[package]]\nname = "{name}"\nversion = "{version}"\n' for name, version in
                   (("one", "1.0.0"), ("packed", "2.0.0"), ("far", "0.3.0")))  # fmt: skip
    files = [
        changed("Cargo.toml", "[dependencies]\n", '[dependencies]\none = "1"\npacked = "2"\nfar = "0.3"\n'),
        changed("Cargo.lock", "", lock),
    ]
    rows = dependency_findings(files, LicenceRule(("MIT", "Apache-2.0")), shelf)
    assert [(rule_of(row), row.severity) for row in rows] == [
        ("dependency-licence", "major"),
        ("dependency", "note"),
        ("dependency-licence", "major"),
    ]
    assert "far 0.3.0 (cargo), licence unknown, is new; whether it is allowed is for a person" in rows[0].text
    assert "packed 2.0.0 (cargo), licence GPL-3.0-only, is not allowed" in rows[2].text


def test_a_fork_by_its_address_has_no_licence_of_the_name(shelf: Shelf) -> None:
    files = [changed("Cargo.toml", "", '[dependencies]\none = {git = "https://x/one"}\n')]
    (row,) = dependency_findings(files, LicenceRule(("MIT",)), shelf)
    assert "licence unknown" in row.text


def test_without_a_rule_licences_are_only_told(shelf: Shelf) -> None:
    rows = dependency_findings([changed("go.mod", "", GO_MOD)], LicenceRule(), shelf)
    assert {(rule_of(row), row.severity) for row in rows} == {("dependency", "note"), ("dependency-lock", "note")}


def test_a_text_with_more_in_it_than_its_licence_is_not_taken_for_it() -> None:
    assert licence_of_text(MIT) == "MIT"
    assert licence_of_text(f'"Commons Clause" License Condition v1.0\n{MIT}') == ""
    assert licence_of_text("You may use it for non-commercial purposes.\n" + BSD) == ""
    assert licence_of_text("") == licence_of_text("Do what you like.") == ""


def test_the_caches_of_an_account_are_found_by_its_environment(tmp_path: Path) -> None:
    for name in ("go/pkg/mod", ".cargo/registry", "other/pkg/mod", "cache"):
        (tmp_path / name).mkdir(parents=True)
    assert caches({"HOME": str(tmp_path)}) == ((tmp_path / "go/pkg/mod",), (tmp_path / ".cargo/registry",))
    env = {
        "HOME": str(tmp_path),
        "GOPATH": str(tmp_path / "other"),
        "GOMODCACHE": str(tmp_path / "cache"),
        "CARGO_HOME": "/no",
    }
    assert caches(env) == ((tmp_path / "cache", tmp_path / "other/pkg/mod"), ())
    assert caches({}) == ((), ())


def test_which_files_of_a_change_tell_licences() -> None:
    told = ["vendor/x/LICENSE", "vendor/a/b/COPYING.md", "vendor/serde/Cargo.toml", "vendor/x/UNLICENSE"]
    assert all(map(tells_licence, told))
    assert not any(map(tells_licence, ["LICENSE", "vendor/LICENSE", "vendor/x/license.go", "src/vendor/x/LICENSE"]))
