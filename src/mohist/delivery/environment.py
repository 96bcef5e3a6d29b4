"""Environments in their order, as `.mohist/deliver.toml` declares them; read from the base commit, never from the change.

    [build]                      # made once, released everywhere
    command = "make dist"
    artefact = "dist"

    [[environments]]
    name = "staging"
    target = {kind = "process", command = "python3 app.py", listen = "127.0.0.1:8080"}
    probe = {url = "http://127.0.0.1:8080/health", version = "json:version", bake_s = 30}

    [[environments]]
    name = "production"
    needs = [["@ops"]]           # a person of each group must approve
    ...

Other tables of the file are other modules' (`build` and `environments` are these).
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Sequence
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from mohist.delivery.errors import EnvironmentsError
from mohist.delivery.health import HealthRule
from mohist.delivery.target.contract import Strategy
from mohist.delivery.target.probe import ProbeSpec

DELIVER_FILE = ".mohist/deliver.toml"
_NAME = r"^[a-z0-9][a-z0-9-]{0,39}$"
_SEEN_KEYS = 8


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class BuildSpec(_Part):
    """How the artefact is made; in a clean copy, in the sandbox."""

    command: str = ""
    artefact: str = "."
    """Folder below the copy that is released."""
    network: bool = False
    timeout_s: float = Field(default=1800, gt=0)


class CommandSpec(_Part):
    kind: Literal["command"]
    activate: str = Field(min_length=1)
    rollback: str = Field(min_length=1)
    prepare: str = ""
    commit: str = ""
    status: str = ""
    network: Literal["none", "full"] = "none"
    secrets: tuple[str, ...] = Field(default=(), strict=False)
    """Names of environment variables that the commands get."""
    readable: tuple[str, ...] = Field(default=(), strict=False)
    writable: tuple[str, ...] = Field(default=(), strict=False)
    timeout_s: float = Field(default=600, gt=0)


class ProcessSpec(_Part):
    kind: Literal["process"]
    command: str = Field(min_length=1)
    listen: str = Field(pattern=r"^(\[[0-9a-fA-F:]+\]|[0-9A-Za-z.-]+):\d{1,5}$")
    secrets: tuple[str, ...] = Field(default=(), strict=False)
    readable: tuple[str, ...] = Field(default=(), strict=False)
    drain_s: float = Field(default=10, ge=0, le=60)
    keep: int = Field(default=3, ge=2)


class SshSpec(_Part):
    kind: Literal["ssh"]
    host: str = Field(min_length=1)
    port: int = Field(default=22, ge=1, le=65535)
    user: str = ""
    path: str = Field(pattern=r"^(/[A-Za-z0-9._-]+)+$")
    """Folder on the host: `releases/ID`, `current`, `shared`."""
    restart: str = ""
    """Run on the host after the link was switched."""
    stop: str = ""
    """Run instead where a rollback finds nothing to go back to."""
    prepare: str = ""
    """Run in the new release's folder before the switch."""
    known_hosts: str = "~/.ssh/known_hosts"
    key: str = ""
    """A key file; empty: the agent's keys."""
    passphrase: str = ""
    """Name of the environment variable that holds the key file's passphrase."""
    keep: int = Field(default=3, ge=2)
    timeout_s: float = Field(default=300, gt=0)


class ComposeSpec(_Part):
    kind: Literal["compose"]
    file: str = "compose.yaml"
    project: str = Field(pattern=_NAME)
    build: bool = False
    """False: images are pulled, and must be named by digest in the file or by `MOHIST_*` variables."""
    program: Literal["docker", "podman"] = "docker"
    socket: str = "/var/run/docker.sock"
    """Shown to the program and to nothing else: who has it is root on its host."""
    host: str = ""
    """`DOCKER_HOST` of another machine; then the socket is not shown."""
    secrets: tuple[str, ...] = Field(default=(), strict=False)
    wait_s: float = Field(default=120, gt=0)


class KubernetesSpec(_Part):
    kind: Literal["kubernetes"]
    manifests: str = "deploy"
    """Folder or file of the artefact; `${MOHIST_VERSION}` and the like are filled in."""
    namespace: str = Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    context: str = Field(min_length=1)
    """Of the kubeconfig; never its current one, which another shell may have changed."""
    kubeconfig: str = "~/.kube/config"
    workloads: tuple[str, ...] = Field(min_length=1, strict=False)
    """`deployment/NAME`, `statefulset/NAME`, `daemonset/NAME`: whose rollout counts."""
    wait_s: float = Field(default=300, gt=0)

    @field_validator("workloads")
    @classmethod
    def _known_kinds(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for workload in value:
            kind, _, name = workload.partition("/")
            if kind not in ("deployment", "statefulset", "daemonset") or not name:
                raise ValueError(f"{workload!r} is not deployment/NAME, statefulset/NAME or daemonset/NAME")
        return value


class CiSpec(_Part):
    kind: Literal["ci"]
    forge: Literal["github", "gitlab", "gitea"]
    api: str = Field(pattern=r"^https?://")
    project: str = Field(min_length=1)
    """`owner/name`; for GitLab also the number."""
    workflow: str = ""
    """File name of the workflow; GitLab has none."""
    ref: str = "main"
    token: str = Field(min_length=1)
    """Name of the environment variable that holds the token."""
    timeout_s: float = Field(default=3600, gt=0)


TargetSpec = Annotated[
    CommandSpec | ProcessSpec | SshSpec | ComposeSpec | KubernetesSpec | CiSpec, Field(discriminator="kind")
]
STRATEGIES: dict[str, frozenset[Strategy]] = {
    "command": frozenset({"in-place"}),
    "process": frozenset({"blue-green", "canary"}),
    "ssh": frozenset({"in-place"}),
    "compose": frozenset({"in-place"}),
    "kubernetes": frozenset({"in-place"}),
    "ci": frozenset({"in-place"}),
}
"""What a target of this kind can do; the first word in the alphabet is its usual one."""


class ProbePart(_Part):
    """How health is asked for, and what counts."""

    url: str = Field(default="", pattern=r"^(https?://.+)?$")
    command: str = ""
    version: str = Field(default="", pattern=r"^(|json:.+|header:.+|regexp:.+)$")
    expect: str = "{commit}"
    """What the right answer names: `{commit}`, `{short}` (12 digits) and `{release}` are filled in."""
    timeout_s: float = Field(default=5, gt=0, le=60)
    successes: int = Field(default=3, ge=1)
    interval_s: float = Field(default=1, gt=0)
    within_s: float = Field(default=60, gt=0)
    bake_s: float = Field(default=30, ge=0)
    error_rate: float = Field(default=0.02, ge=0, le=1)
    failures: int = Field(default=3, ge=1)
    flaps: int = Field(default=3, ge=0)
    latency_ratio: float = Field(default=0, ge=0)

    @field_validator("version")
    @classmethod
    def _compiles(cls, value: str) -> str:
        if value.startswith("regexp:"):
            try:
                re.compile(value.removeprefix("regexp:"))
            except re.error as error:
                raise ValueError(f"not a regular expression: {error}") from None
        return value

    @field_validator("expect")
    @classmethod
    def _known_words(cls, value: str) -> str:
        for word in re.findall(r"\{(\w*)\}", value):
            if word not in ("commit", "short", "release"):
                raise ValueError(f"{{{word}}} is not known; there are {{commit}}, {{short}} and {{release}}")
        return value

    @model_validator(mode="after")
    def _one_way(self) -> ProbePart:
        if bool(self.url) == bool(self.command):
            raise ValueError("name either url or command")
        return self

    @property
    def spec(self) -> ProbeSpec:
        return ProbeSpec(self.url, self.command, self.version, self.timeout_s)

    @property
    def rule(self) -> HealthRule:
        names = ("successes", "interval_s", "within_s", "bake_s", "error_rate", "failures", "flaps", "latency_ratio")
        return HealthRule(**{name: getattr(self, name) for name in names})


class Environment(_Part):
    """One place on the way to users, in the order of the file."""

    name: str = Field(pattern=_NAME)
    target: TargetSpec
    probe: ProbePart
    strategy: Strategy | None = None
    weights: tuple[int, ...] = Field(default=(), strict=False)
    """Shares in percent of a canary, rising; the last step to 100 is implied."""
    needs: tuple[tuple[str, ...], ...] = Field(default=(), strict=False)
    """Who must approve before anything is released here: a person (`user` or `@team`) of each group."""
    four_eyes: bool = False
    gate: bool = False
    """A gate that anybody who may decide can open; implied by `needs` and `four_eyes`."""
    patience_s: float = Field(default=60, ge=0)
    """How long a step is tried again while the target can't be reached."""
    busy_s: float = Field(default=900, ge=0)
    """How long it waits while another release is under way here."""

    @field_validator("needs", mode="before")
    @classmethod
    def _groups(cls, value: Any) -> Any:
        return tuple(tuple(group) if isinstance(group, list) else group for group in value)

    @model_validator(mode="after")
    def _possible(self) -> Environment:
        able = STRATEGIES[self.target.kind]
        if self.strategy is not None and self.strategy not in able:
            raise ValueError(
                f"a {self.target.kind} target can't do {self.strategy!r}, for which it would have to own a switch; "
                f"it can do {' or '.join(sorted(able))}"
            )
        if (self.how == "canary") != bool(self.weights):
            raise ValueError("strategy 'canary' and weights belong together")
        if list(self.weights) != sorted(set(self.weights)) or any(not 0 < weight < 100 for weight in self.weights):
            raise ValueError("weights are percents between 1 and 99 that rise")
        return self

    @property
    def how(self) -> Strategy:
        """The strategy in use."""
        return self.strategy or min(STRATEGIES[self.target.kind])

    @property
    def gated(self) -> bool:
        return self.gate or self.four_eyes or bool(self.needs)


class DeployPlan(_Part):
    """What the file says of releases."""

    build: BuildSpec = BuildSpec()
    environments: tuple[Environment, ...] = Field(default=(), strict=False)

    @model_validator(mode="after")
    def _distinct(self) -> DeployPlan:
        names = [environment.name for environment in self.environments]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two environments are called {name!r}")
        return self

    def get(self, name: str) -> Environment:
        """Raises EnvironmentsError with the nearest name."""
        for environment in self.environments:
            if environment.name == name:
                return environment
        raise EnvironmentsError(
            f"There is no environment {name!r}.", _nearest(name, [each.name for each in self.environments])
        )


def load_environments(text: str) -> DeployPlan:
    """Reads the file's text; empty text declares nothing.

    Raises:
        EnvironmentsError: names each place, and the nearest key where one is not known.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise EnvironmentsError(f"{DELIVER_FILE} is not TOML: {error}.") from None
    own = list(DeployPlan.model_fields)
    for key in document.keys() - set(own):
        near = difflib.get_close_matches(key, own, n=1, cutoff=0.75)
        if near:
            raise EnvironmentsError(f"{DELIVER_FILE}: {key!r} is not known.", f"Did you mean {near[0]!r}?")
    try:
        return DeployPlan.model_validate({key: document[key] for key in own if key in document})
    except ValidationError as error:
        told = [_tell(document, item["loc"], item["type"], item["msg"]) for item in error.errors()]
        raise EnvironmentsError(f"{DELIVER_FILE}: {'; '.join(told)}.", "Correct it and commit it.") from None


def _tell(document: dict[str, Any], place: Sequence[int | str], kind: str, message: str) -> str:
    where = _place(document, place)
    if kind == "extra_forbidden":
        return f"{where} is not known. {_nearest(str(place[-1]), _keys(place[:-1]))}".rstrip(". ")
    if kind == "missing":
        return f"{where} is missing"
    return f"{where}: {message.removeprefix('Value error, ')}"


def _place(document: dict[str, Any], place: Sequence[int | str]) -> str:
    """`environments.production.probe.url`: environments by their names, without the tags of pydantic's unions."""
    told: list[str] = []
    value: Any = document
    for part in place:
        if isinstance(part, int):
            value = value[part] if isinstance(value, list) and part < len(value) else None
            name = value.get("name") if isinstance(value, dict) else None
            told.append(str(name or part + 1))
            continue
        if isinstance(value, dict) and part not in value and value.get("kind") == part:
            continue
        value = value.get(part) if isinstance(value, dict) else None
        told.append(part)
    return repr(".".join(told)) if told else "the file"


def _keys(place: Sequence[int | str]) -> list[str]:
    """The keys that are known at a place."""
    model: type[BaseModel] = DeployPlan
    union: tuple[type[BaseModel], ...] = ()
    for part in place:
        if isinstance(part, int):
            continue
        if union:
            model = next(one for one in union if part in get_args(one.model_fields["kind"].annotation))
            union = ()
            continue
        found = _models(model.model_fields[part].annotation)
        union = found if len(found) > 1 else ()
        model = found[0]
    return list(model.model_fields)


def _models(annotation: Any) -> tuple[type[BaseModel], ...]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel) and get_origin(annotation) is None:
        return (annotation,)
    return tuple(model for part in get_args(annotation) for model in _models(part))


def _nearest(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if near:
        return f"Did you mean {near[0]!r}?"
    return f"Known: {', '.join(sorted(known)[:_SEEN_KEYS])}." if known else ""
