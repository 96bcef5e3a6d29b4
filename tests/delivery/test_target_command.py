"""Targets that are programs: declared commands, and Compose by command lines that a strict stand-in takes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mohist.delivery.errors import BusyError, TargetError, UnreachableError
from mohist.delivery.target import ReleaseFacts
from mohist.delivery.target.command import CommandSteps, CommandTarget, Shell
from mohist.delivery.target.compose import ComposeTarget
from mohist.delivery.target.probe import ProbeSpec
from mohist.sandbox import Bubblewrap

_PREFIX = Path(sys.base_prefix).resolve()
PYTHON = str(Path(sys.executable).resolve())
READABLE = () if _PREFIX.is_relative_to("/usr") else (_PREFIX,)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bubblewrap]:
    backend = Bubblewrap(state=tmp_path_factory.mktemp("state"), grace_s=0.3)
    yield backend
    backend.close()


@pytest.fixture
def shell(sandbox: Bubblewrap, tmp_path: Path) -> Shell:
    (tmp_path / "artefact").mkdir()
    return Shell(sandbox, tmp_path / "place" / "work", env={"DEPLOY_TOKEN": "t0ken"}, timeout_s=30)


def facts(tmp_path: Path, name: str) -> ReleaseFacts:
    return ReleaseFacts(name, "b" * 40, tmp_path / "artefact", "b" * 40, "staging")


def commands(shell: Shell, **steps: str) -> CommandTarget:
    told = {
        "activate": 'echo "$MOHIST_RELEASE" > "$MOHIST_TARGET/live"',
        "rollback": 'echo "back to $MOHIST_PREVIOUS" > "$MOHIST_TARGET/live"',
        **steps,
    }
    return CommandTarget(
        shell, CommandSteps(**told), ProbeSpec(command='cat "$MOHIST_TARGET/live"', version="regexp:.+")
    )


async def test_commands_learn_of_the_release_and_the_target_remembers_it(shell: Shell, tmp_path: Path) -> None:
    target = commands(shell, prepare='test -n "$DEPLOY_TOKEN" && test "$PWD" = "$MOHIST_ARTEFACT"')
    first = facts(tmp_path, "rel-1")
    await target.prepare(first)
    await target.activate(first)
    await target.commit(first)
    assert (await target.status()).active == "rel-1"
    assert (await target.probe(first)).version == "rel-1"
    second = facts(tmp_path, "rel-2")
    await target.prepare(second)
    await target.activate(second)
    await target.rollback(second, "rel-1")
    await target.rollback(second, "rel-1")
    assert (await target.status()).active == "rel-1"
    assert (shell.home / "live").read_text(encoding="utf-8") == "back to rel-1\n"


async def test_a_release_that_was_never_activated_is_not_rolled_back_by_command(shell: Shell, tmp_path: Path) -> None:
    target = commands(shell, rollback="exit 1")
    await target.prepare(facts(tmp_path, "rel-1"))
    await target.rollback(facts(tmp_path, "rel-1"), "")
    await target.prepare(facts(tmp_path, "rel-2"))


async def test_a_command_that_fails_says_why_and_75_asks_to_try_again(shell: Shell, tmp_path: Path) -> None:
    with pytest.raises(TargetError, match=r"activate command ended with 3.*no licence"):
        await commands(shell, activate="echo no licence; exit 3").activate(facts(tmp_path, "rel-1"))
    with pytest.raises(UnreachableError):
        await commands(shell, activate="exit 75").activate(facts(tmp_path, "rel-1"))
    with pytest.raises(TargetError, match="took too long"):
        await commands(replace(shell, timeout_s=0.5), activate="sleep 60").activate(facts(tmp_path, "rel-1"))


async def test_commands_are_confined(shell: Shell, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x", encoding="utf-8")
    with pytest.raises(TargetError, match="ended with 1"):
        await commands(shell, activate=f"cat {secret} > /dev/null").activate(facts(tmp_path, "rel-1"))
    with pytest.raises(TargetError):
        await commands(shell, activate='touch "$MOHIST_ARTEFACT/changed"').activate(facts(tmp_path, "rel-1"))


async def test_two_releases_are_not_under_way_at_once(shell: Shell, tmp_path: Path) -> None:
    target = commands(shell)
    await target.prepare(facts(tmp_path, "rel-1"))
    with pytest.raises(BusyError, match="rel-1"):
        await target.prepare(facts(tmp_path, "rel-2"))
    await target.prepare(facts(tmp_path, "rel-1"))


@pytest.fixture
def compose(shell: Shell, tmp_path: Path) -> ComposeTarget:
    program = tmp_path / "tools" / "bin" / "docker"
    program.parent.mkdir(parents=True)
    source = Path(__file__).with_name("fake_docker.py").read_text(encoding="utf-8")
    program.write_text(f"#!{PYTHON}\n{source}", encoding="utf-8")
    program.chmod(0o755)
    shell.home.mkdir(parents=True)
    (shell.home / "registry").write_text("shop:1 shop@sha256:11\nshop:2 shop@sha256:22\n", encoding="utf-8")
    shell = replace(shell, readable=(*READABLE, tmp_path / "tools"))
    return ComposeTarget(shell, "docker", "shop", "compose.yaml", ProbeSpec(url="http://127.0.0.1:1/"))


def compose_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "artefact" / "compose.yaml").write_text(text, encoding="utf-8")


async def release(target: ComposeTarget, told: ReleaseFacts) -> None:
    await target.prepare(told)
    await target.activate(told)
    await target.commit(told)


async def test_compose_brings_up_images_by_digest_and_the_old_digest_back(
    compose: ComposeTarget, tmp_path: Path
) -> None:
    compose_file(tmp_path, "image: shop:1\nversion: ${MOHIST_VERSION}\n")
    await release(compose, facts(tmp_path, "rel-1"))
    running = compose.shell.home / "running"
    assert running.read_text(encoding="utf-8") == f"image: shop@sha256:11\nversion: {'b' * 40}\n"
    (compose.shell.home / "registry").write_text("shop:1 shop@sha256:99\nshop:2 shop@sha256:22\n", encoding="utf-8")
    compose_file(tmp_path, "image: shop:2\nunhealthy\n")
    second = facts(tmp_path, "rel-2")
    await compose.prepare(second)
    with pytest.raises(TargetError, match=r"compose up` ended with 1.*is unhealthy"):
        await compose.activate(second)
    assert (await compose.status()).active == "rel-1"
    for _ in range(2):
        await compose.rollback(second, "rel-1")
        assert "shop@sha256:11" in running.read_text(encoding="utf-8"), "the tag has moved, the way back must not"
    assert (compose.shell.home / "calls").read_text(encoding="utf-8").split("\n")[-2:] == ["shop up", ""]


async def test_compose_that_cannot_pull_leaves_what_runs(compose: ComposeTarget, tmp_path: Path) -> None:
    compose_file(tmp_path, "image: shop:1\n")
    await release(compose, facts(tmp_path, "rel-1"))
    compose_file(tmp_path, "image: gone\n")
    with pytest.raises(TargetError, match=r"compose pull` ended with 18.*manifest unknown"):
        await compose.prepare(facts(tmp_path, "rel-2"))
    await compose.rollback(facts(tmp_path, "rel-2"), "rel-1")
    calls = (compose.shell.home / "calls").read_text(encoding="utf-8").split("\n")
    assert calls.count("shop up") == 1


async def test_compose_takes_the_first_release_down_where_nothing_was_before(
    compose: ComposeTarget, tmp_path: Path
) -> None:
    compose_file(tmp_path, "image: shop:1\n")
    first = facts(tmp_path, "rel-1")
    await compose.prepare(first)
    await compose.activate(first)
    await compose.rollback(first, "")
    assert not (compose.shell.home / "running").exists()
    assert (await compose.status()).active == ""
