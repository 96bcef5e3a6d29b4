"""Parts of scripts/environment.py that no start on this machine would reach."""

from __future__ import annotations

import importlib.util
import sys
import sysconfig
import zipfile
from pathlib import Path
from types import ModuleType

import pytest
from checkout import ROOT, write_program


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("environment", ROOT / "scripts" / "environment.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "environment", module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def bare_python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A Python without ensurepip and pip, as Debian's is; returns the only folder on the PATH."""
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    monkeypatch.setitem(sys.modules, "pip", None)
    monkeypatch.setattr(sysconfig, "get_config_var", lambda name: None)
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    return programs


def find_pip(environment: ModuleType, folder: Path) -> Path:
    scratch = folder / "scratch"
    scratch.mkdir()
    with (folder / "log").open("wb") as log, (folder / "lock").open("wb") as lock:
        return environment.find_pip(scratch, log.fileno(), lock.fileno())


def test_pip_comes_from_ensurepip_without_installing_it(environment: ModuleType, tmp_path: Path) -> None:
    assert (find_pip(environment, tmp_path) / "pip" / "__main__.py").exists()


def test_a_bare_debian_takes_pip_from_its_own_packages_without_root(
    environment: ModuleType, bare_python: Path, tmp_path: Path
) -> None:
    wheel = tmp_path / "pip-99-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("pip/__main__.py", "")
    write_program(bare_python / "apt-get", '[ "$1 $3" = "download python3-pip-whl" ] && : >python3-pip-whl_99_all.deb')
    write_program(
        bare_python / "dpkg-deb",
        f'[ "$1" = -x ] && /bin/mkdir -p "$3/usr/share/python-wheels" && /bin/cp "{wheel}" "$3/usr/share/python-wheels"',
    )
    assert (find_pip(environment, tmp_path) / "pip" / "__main__.py").exists()


def test_no_pip_anywhere_says_what_to_install(environment: ModuleType, bare_python: Path, tmp_path: Path) -> None:
    with pytest.raises(environment.SetUpError, match="apt install python3-venv"):
        find_pip(environment, tmp_path)


@pytest.mark.parametrize(
    ("log", "line"),
    [
        (
            "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.",
            "differs from the one that was locked",
        ),
        ("error: Failed to fetch\n  Caused by: Hash mismatch for `tiny`", "differs from the one that was locked"),
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "the disk is full"),
        (
            "NewConnectionError('...: Failed to establish a new connection: [Errno -2] Name or service not known')",
            "can't reach the package index",
        ),
        ("ERROR: No matching distribution found for tiny==1.0", "has no wheel for this machine"),
        ("/usr/bin/python3.11: No module named venv", "apt install python3-venv"),
        ("something else", "could not be made"),
    ],
)
def test_each_failure_is_told_in_one_line_with_its_log(
    environment: ModuleType, tmp_path: Path, log: str, line: str
) -> None:
    path = tmp_path / "runtime.log"
    path.write_text(log, encoding="utf-8")
    told = environment.explain(path)
    assert line in told
    assert str(path) in told
    assert "\n" not in told


def test_a_stable_name_of_python_holds_its_minor_version(environment: ModuleType) -> None:
    assert f"{sys.version_info[0]}.{sys.version_info[1]}" in environment.stable_python()
