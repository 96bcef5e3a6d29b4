"""Installs a package for being run: in the fence, where its registry is all that can be reached, and with what it tried written down."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import anyio.to_thread

from mohist.sandbox import Limits, Profile, Sandbox, find_toolchains, run
from mohist.sandbox.fence import Attempt, Fence, Rule, Rules
from mohist.sandbox.layout import HOME
from mohist.vet import Subject, VetError
from mohist.vet.registry.setting import PYPI_INDEX, npm_settings, pip_settings

_TIMEOUT_S = 900.0
_LIMITS = Limits(memory_bytes=16 * 1024**3, processes=4096, open_files=65_536)
_TAIL_CHARS = 600


@dataclass(frozen=True, slots=True)
class Installed:
    """A package with what it needs."""

    program: Path
    package: str
    """"npm:NAME"."""
    tried: tuple[dict[str, Any], ...]
    """Hosts that installing reached or tried to: host, port, times, outcomes."""


async def install(
    sandbox: Sandbox,
    subject: Subject,
    programs: Sequence[str],
    into: Path,
    env: Mapping[str, str],
    home: Path,
) -> Installed:
    """Installs by the registry's own client; install scripts run, in the sandbox.

    Args:
        sandbox: where it takes place.
        subject: an exact version.
        programs: names that it puts on the path, the wanted one first.
        into: an empty or absent folder.
        env: the user's environment.
        home: the user's home, with settings of registries.

    Raises:
        VetError: it failed, or no program came of it.
        SandboxError: it could not be started.
    """
    place, settings = into / "installed", into / "settings"
    for folder in (place, settings):
        await anyio.Path(folder).mkdir(mode=0o700, parents=True)
    attempts: list[Attempt] = []
    if subject.kind == "npm":
        commands, hosts, variables = _npm(subject, place, settings, env, home)
        programs_in = place / "node_modules" / ".bin"
    else:
        commands, hosts, variables = _pip(subject, place, env, home)
        programs_in = place / "bin"
    rules = Rules([Rule(host, ports=(port,), private=True) for host, port in dict.fromkeys(hosts) if host])
    async with Fence(rules, attempts.append) as fence:
        profile = Profile(
            workspace=place,
            extra_readable=find_toolchains(env),
            network="fenced",
            fence=fence,
            home=settings,
            env=variables,
            limits=_LIMITS,
        )
        for command in commands:
            done = await run(sandbox, command, cwd=place, profile=profile, timeout_s=_TIMEOUT_S)
            if done.exit.code or done.timed_out:
                said = done.output.decode("utf-8", "replace")[-_TAIL_CHARS:].strip()
                raise VetError(
                    f"{subject.text} could not be installed: {said}",
                    "Install it yourself and name its program: --command PROGRAM.",
                )
    program = next((programs_in / name for name in programs if (programs_in / name).exists()), None)
    if program is None:
        raise VetError(f"{subject.text} puts no program on the path.", "Name what starts it: --command PROGRAM.")
    return Installed(program, f"{subject.kind}:{subject.name}", _tried(attempts))


def _npm(
    subject: Subject, place: Path, settings: Path, env: Mapping[str, str], home: Path
) -> tuple[list[list[str]], list[tuple[str, int]], dict[str, str]]:
    known = npm_settings(env, home)
    lines = [f"registry={known.registry}", *(f"{scope}:registry={url}" for scope, url in known.scopes.items())]
    if known.ca_file and Path(known.ca_file).is_file():
        shutil.copyfile(known.ca_file, settings / "registry.pem")
        lines.append(f"cafile={HOME}/registry.pem")
    (settings / ".npmrc").write_text("\n".join(lines) + "\n", encoding="utf-8")
    npm = shutil.which("npm", path=env.get("PATH")) or "npm"
    command = [npm, "install", "--no-audit", "--no-fund", "--no-update-notifier", "--prefix", str(place)]
    hosts = [_host(url) for url in (known.registry, *known.scopes.values())]
    return [[*command, f"{subject.name}@{subject.version}"]], hosts, {}


def _pip(
    subject: Subject, place: Path, env: Mapping[str, str], home: Path
) -> tuple[list[list[str]], list[tuple[str, int]], dict[str, str]]:
    known = pip_settings(env, home)
    # Folders of this machine are not shown to an installer.
    indexes = [url for url in known.indexes if url.startswith(("http://", "https://"))] or [PYPI_INDEX]
    variables = {"PIP_INDEX_URL": indexes[0], "PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    if len(indexes) > 1:
        variables["PIP_EXTRA_INDEX_URL"] = " ".join(indexes[1:])
    python = shutil.which("python3", path=env.get("PATH")) or sys.executable
    # Another environment's interpreter would make an environment that needs both.
    base = str(Path(python).resolve())
    commands = [
        [base, "-m", "venv", str(place)],
        [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", f"{subject.name}=={subject.version}"],
    ]
    hosts = [_host(url) for url in indexes]
    if "pypi.org" in {host for host, _ in hosts}:
        hosts.append(("files.pythonhosted.org", 443))
    return commands, hosts, variables


def _host(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (80 if parts.scheme == "http" else 443)


def _tried(attempts: Sequence[Attempt]) -> tuple[dict[str, Any], ...]:
    rows: dict[tuple[str, int], dict[str, Any]] = {}
    for attempt in attempts:
        asked = attempt.asked
        row = rows.setdefault(
            (asked.host, asked.port), {"host": asked.host, "port": asked.port, "times": 0, "outcomes": []}
        )
        row["times"] += 1
        outcome = attempt.code or attempt.outcome
        if outcome not in row["outcomes"]:
            row["outcomes"].append(outcome)
    return tuple(rows[key] for key in sorted(rows))
