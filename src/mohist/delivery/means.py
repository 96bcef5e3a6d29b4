"""From what a file declares to a target that can be used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mohist.delivery.environment import (
    CiSpec,
    CommandSpec,
    ComposeSpec,
    Environment,
    KubernetesSpec,
    ProcessSpec,
    SshSpec,
)
from mohist.delivery.errors import EnvironmentsError
from mohist.delivery.target.ci import CiTarget
from mohist.delivery.target.command import CommandSteps, CommandTarget, Shell
from mohist.delivery.target.compose import ComposeTarget
from mohist.delivery.target.contract import Target
from mohist.delivery.target.kubernetes import KubernetesTarget
from mohist.delivery.target.process import ProcessTarget
from mohist.delivery.target.ssh import Login, SshTarget
from mohist.sandbox import Network, Sandbox


@dataclass(frozen=True, slots=True)
class Means:
    """What targets need of this machine; made by the composition root."""

    sandbox: Sandbox
    home: Path
    """Where targets keep what is theirs; a folder for each repository, so that two projects' `staging` don't meet."""
    env: Mapping[str, str] = field(repr=False)
    """Whence the secrets that a spec names are taken."""
    readable: tuple[Path, ...] = ()
    """Toolchains that commands may read."""
    backend: str = "bubblewrap"
    """What a kept service is confined by: `bubblewrap` or `landlock`."""
    host_env: Mapping[str, str] = field(default_factory=dict, repr=False)


def make_target(environment: Environment, means: Means) -> Target:
    """The environment's target.

    Raises:
        EnvironmentsError: a secret that it names is not set.
    """
    spec = environment.target
    home = means.home / environment.name
    probing = environment.probe.spec
    match spec:
        case CommandSpec():
            shell = Shell(
                means.sandbox,
                home / "work",
                spec.network,
                (*means.readable, *_paths(spec.readable, means)),
                _paths(spec.writable, means),
                _secrets(spec.secrets, means),
                spec.timeout_s,
            )
            steps = CommandSteps(spec.activate, spec.rollback, spec.prepare, spec.commit, spec.status)
            return CommandTarget(shell, steps, probing)
        case ProcessSpec():
            return ProcessTarget(
                home=home,
                command=spec.command,
                listen=spec.listen,
                probing=probing,
                env=_secrets(spec.secrets, means),
                readable=(*means.readable, *_paths(spec.readable, means)),
                backend=means.backend,
                drain_s=spec.drain_s,
                keep=spec.keep,
                host_env=means.host_env or means.env,
            )
        case SshSpec():
            login = Login(
                spec.host,
                spec.port,
                spec.user,
                known_hosts=_path(spec.known_hosts, means),
                key=_path(spec.key, means) if spec.key else None,
                passphrase=_secrets((spec.passphrase,), means)[spec.passphrase] if spec.passphrase else None,
                agent=means.env.get("SSH_AUTH_SOCK", ""),
            )
            return SshTarget(
                login=login,
                path=spec.path,
                probing=probing,
                restart=spec.restart,
                stop=spec.stop,
                prepare_command=spec.prepare,
                keep=spec.keep,
                timeout_s=spec.timeout_s,
            )
        case ComposeSpec():
            remote = bool(spec.host)
            shell = Shell(
                means.sandbox,
                home / "work",
                "full" if remote else "none",
                means.readable,
                () if remote else (Path(spec.socket),),
                {
                    **_secrets(spec.secrets, means),
                    "DOCKER_HOST": spec.host or f"unix://{spec.socket}",
                    "CONTAINER_HOST": spec.host or f"unix://{spec.socket}",
                },
                spec.wait_s + 60,
            )
            return ComposeTarget(shell, spec.program, spec.project, spec.file, probing, spec.build, int(spec.wait_s))
        case KubernetesSpec():
            config = _path(spec.kubeconfig, means)
            env = {"KUBECONFIG": str(config)}
            shell = Shell(means.sandbox, home / "work", "full", (*means.readable, config), (), env, spec.wait_s + 60)
            return KubernetesTarget(
                shell, spec.context, spec.namespace, spec.manifests, spec.workloads, probing, int(spec.wait_s)
            )
        case CiSpec():
            return CiTarget(
                forge=spec.forge,
                api=spec.api.rstrip("/"),
                project=spec.project,
                workflow=spec.workflow,
                ref=spec.ref,
                token=_secrets((spec.token,), means)[spec.token],
                probing=probing,
                memory=home / "ci",
                timeout_s=spec.timeout_s,
            )


def network_of(environment: Environment) -> Network:
    """Whether the target's commands on this machine get the network; for plans shown to people."""
    match environment.target:
        case CommandSpec() as spec:
            return spec.network
        case ComposeSpec() as spec:
            return "full" if spec.host else "none"
        case _:
            return "full"


def _secrets(names: tuple[str, ...], means: Means) -> dict[str, str]:
    missing = [name for name in names if not means.env.get(name)]
    if missing:
        raise EnvironmentsError(
            f"The secret {missing[0]!r} is not set.", "Set the environment variable where Mohist runs."
        )
    return {name: means.env[name] for name in names}


def _paths(names: tuple[str, ...], means: Means) -> tuple[Path, ...]:
    return tuple(_path(name, means) for name in names)


def _path(name: str, means: Means) -> Path:
    if name.startswith("~/"):
        return Path(means.env.get("HOME") or "/nonexistent") / name[2:]
    return Path(name)
