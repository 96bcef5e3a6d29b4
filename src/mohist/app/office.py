"""What deliveries are made of on this machine: tables, ground, agent, sandbox, targets, rules. Built once a process.

$MOHIST_HOME/deliveries.db              the tables (or the database that [gateway] names)
$MOHIST_HOME/deliveries/ID/ground/      worktrees and clean copies
$MOHIST_HOME/deliveries/ID/desk/        spec.md, plan.toml, report.md, report.html: for people
$MOHIST_HOME/deliveries/ID/jobs/        outcomes of agent runs
$MOHIST_HOME/targets/                   what deploy targets keep
"""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from mohist.agent.errors import TreeBusyError
from mohist.agent.log import hold_lock
from mohist.app import machine as machines
from mohist.app.config import Config
from mohist.app.database import owner_config
from mohist.app.evidence import Evidence, open_evidence
from mohist.app.launch import settings
from mohist.app.machine import Machine
from mohist.app.mind import AgentMind
from mohist.app.ruling import COMPANY_FILE, USER_FILE, Rulings, read_text
from mohist.app.trailer import trailers_of
from mohist.base import Clock, IdSource, MohistError, RandomIds, StatePaths, SystemClock
from mohist.delivery.book import Book
from mohist.delivery.check.leak import Scan
from mohist.delivery.check.shelf import Shelf, caches
from mohist.delivery.chronicle import ChronicledStore, DeliveryChronicle
from mohist.delivery.environment import Environment
from mohist.delivery.errors import RuleError
from mohist.delivery.forge import Forge, Post, find_post
from mohist.delivery.ground import GitGround, Room, name_of
from mohist.delivery.lane import Notifier
from mohist.delivery.means import Means, make_target
from mohist.delivery.notify import Hook, load_hooks
from mohist.delivery.port import Job, Outcome
from mohist.delivery.request import Harbour
from mohist.delivery.ship import Ship
from mohist.delivery.stage import Context, Measure
from mohist.delivery.state import Delivery, Facts, Gate
from mohist.delivery.store import delivery_address
from mohist.delivery.target.contract import Target
from mohist.delivery.verify import Verify, VerifySettings
from mohist.event import Event, EventSink
from mohist.guard import Block, Found
from mohist.sandbox import Author, Remote

_Chronicled = TypeVar("_Chronicled", bound=ChronicledStore)

AUTHOR = "mohist"
MAIL = "mohist@localhost"


def silent(_: Event) -> None:
    """Where nobody watches."""


@dataclass(frozen=True, slots=True)
class Study:
    """All that one delivery is worked on with, in one event loop."""

    context: Context
    ground: GitGround
    ship: Ship
    shore: Callable[[], tuple[Harbour | None, Forge | None]]
    """Where the base branch lives (None: in the user's repository), and whose requests changes go through (None: they are
    pushed). Read when it is needed: settings that are not in order stop the merge alone."""
    machine: Machine
    models: list[str] = field(default_factory=list)
    """Of the runs since they were last taken."""

    def take_models(self) -> tuple[str, ...]:
        """The models that thought since this was last asked."""
        taken = tuple(dict.fromkeys(self.models))
        self.models.clear()
        return taken


@dataclass(frozen=True, slots=True)
class _NamedMind:
    """Remembers which models thought."""

    inner: AgentMind
    models: list[str]

    async def run(self, job: Job) -> Outcome:
        outcome = await self.inner.run(job)
        if outcome.model:
            self.models.append(outcome.model)
        return outcome


@dataclass(slots=True)
class Office:
    """The composition root of deliveries; `close` ends what it owns."""

    env: Mapping[str, str]
    emit: EventSink = silent
    paths: StatePaths = field(init=False)
    clock: Clock = field(init=False)
    ids: IdSource = field(init=False)
    book: ChronicledStore = field(init=False)
    evidence: Evidence | None = field(init=False)
    """The ledger; None: it is switched off."""
    rulings: Rulings = field(init=False)
    variables: Mapping[str, str] = field(init=False)
    """What the settings say of the database."""
    is_file: bool = field(init=False)
    """Whether the tables are a file of this machine."""

    def __post_init__(self) -> None:
        self.paths = StatePaths.from_env(self.env)
        self.clock = SystemClock()
        self.ids = RandomIds(self.clock)
        self.paths.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        config = owner_config(self.env)
        self.variables = config.gateway.variables
        address = delivery_address(self.paths.home, self.variables)
        self.is_file = address.path is not None
        self.evidence = open_evidence(self.paths.home, config.ledger, self.env)
        self.book = self.recorded(ChronicledStore(address, self.clock))
        self.rulings = Rulings(self.paths.home, self._reading_ground)

    def close(self) -> None:
        self.book.close()
        if self.evidence is not None:
            self.evidence.close()

    def recorded(self, store: _Chronicled) -> _Chronicled:
        """Tables that enter what is evidence in the ledger, where there is one."""
        if self.evidence is not None:
            keep = self.evidence.settings.keep_contents
            store.chronicle = DeliveryChronicle(self.evidence, self.evidence.name, keep, self._place)
        return store

    def _place(self, delivery_id: str) -> str:
        """Where a delivery stands in the ledger, in words."""
        from mohist.app.ledger import LedgerHome
        from mohist.app.stretch import stretch

        assert self.evidence is not None
        home = LedgerHome(self.paths.home / "ledger", self.evidence.settings, self.env)
        try:
            return str(stretch(home, f"delivery:{delivery_id}") or "")
        except MohistError as error:
            return f"ledger: {error.what}"

    def notifier(self, back_ms: int) -> Notifier:
        """Tells hooks of the company and of the user what was noted in the last `back_ms` and from now on.

        Raises:
            RuleError: a file is not as it must be.
        """
        hooks: list[Hook] = []
        for path in (COMPANY_FILE, self.paths.home / USER_FILE):
            hooks += load_hooks(read_text(path), str(path), self.env)
        return Notifier(self.book, self.clock, tuple(hooks), self.clock.now_ms() - back_ms)

    def folder(self, delivery_id: str) -> Path:
        return self.paths.home / "deliveries" / delivery_id

    def desk(self, delivery_id: str) -> Path:
        """Where people read and edit spec and plan."""
        return self.folder(delivery_id) / "desk"

    def measure(self) -> Measure:
        """How far stages go; `unpriced` of the company's or the user's deliver.toml says what an unknown price counts.

        Raises:
            RuleError: it is another word.
        """
        for path in (COMPANY_FILE, self.paths.home / USER_FILE):
            said = tomllib.loads(read_text(path)).get("unpriced")
            if said == "held" or said == "free":
                return Measure(unpriced=said)
            if said is not None:
                raise RuleError(f"{path}: unpriced {said!r} is not known.", "It is held or free.")
        return Measure()

    def config(self, machine: Machine, repository: str) -> tuple[Config, Machine]:
        """The settings that hold in a repository, and the machine confined by them."""
        config, _ = settings(machine, Path(repository), {})
        return config, machines.confined_by(machine, config.sandbox, config.readable)

    @asynccontextmanager
    async def machine(self) -> AsyncIterator[Machine]:
        made = machines.build(self.env, self.emit, None, None)
        try:
            yield made
        finally:
            made.close()

    @asynccontextmanager
    async def study(self, delivery: Delivery, book: Book | None = None) -> AsyncIterator[Study]:
        """Opens a delivery for work in this event loop."""
        book = book or self.book
        async with self.machine() as bare:
            config, machine = self.config(bare, delivery.repository)
            ground = await self.ground(delivery, machine)
            ruling = await self.rulings.know(delivery, ground)
            packages = tuple(path for path in machine.readable if path.name in ("site-packages", "dist-packages"))
            shelf = Shelf(packages, *caches(self.env))
            verify = Verify(
                ground,
                book,
                self.clock,
                VerifySettings(checks=config.checks, network=config.network == "full", shelf=shelf),
                self._scan(config),
            )
            models: list[str] = []
            measure = self.measure()
            inner = AgentMind(
                self.folder(delivery.delivery_id) / "jobs",
                self.emit,
                model_of=partial(_model_of, delivery),
                unpriced=measure.unpriced,
            )
            mind = _NamedMind(inner, models)
            context = Context(
                delivery.delivery_id,
                delivery.attempt,
                book,
                mind,
                ground,
                self.clock,
                self.desk(delivery.delivery_id),
                verify,
                measure,
            )

            def gates(facts: Facts) -> tuple[Gate, ...]:
                return tuple(self.rulings.known(facts)["deploy"])

            make = self._make_target(delivery, machine, config.sandbox)
            plan = self.rulings.plan(delivery.delivery_id)
            if not ruling.places:
                plan = plan.model_copy(update={"environments": ()})

            def shore() -> tuple[Harbour | None, Forge | None]:
                return self.harbour(delivery, ground), self.forge(delivery)

            yield Study(context, ground, Ship(plan, make, gates), shore, machine, models)

    async def ground(self, delivery: Delivery, machine: Machine) -> GitGround:
        """The delivery's own ground."""
        room = Room(machine.sandbox, machine.readable, machine.shell, {"PYTHONDONTWRITEBYTECODE": "1"})
        author = Author(AUTHOR, MAIL, delivery.created_at_ms // 1000)
        home = self.folder(delivery.delivery_id) / "ground"
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        said = trailers_of(self.evidence, delivery.delivery_id) if self.evidence is not None else dict
        return await GitGround.open(Path(delivery.repository), home, room, author, said)

    def harbour(self, delivery: Delivery, ground: GitGround) -> Harbour | None:
        """Where the base branch lives: what was named for this delivery, else what the company's or the user's file says of
        its repository; None: the repository itself.

        Raises:
            GitError, ForgeError: an address or a token can't be used.
        """
        named = str(delivery.options.get("remote") or "")
        if named:
            home = Path(self.env.get("HOME") or "/nonexistent")
            remote = Remote(named, agent=self.env.get("SSH_AUTH_SOCK", ""), known_hosts=home / ".ssh" / "known_hosts")
            return ground.remote(remote)
        post = self._post(delivery)
        return ground.remote(post.remote) if post else None

    def forge(self, delivery: Delivery) -> Forge | None:
        """Whose requests its changes go through; None: they are pushed.

        Raises:
            ForgeError, GitError: as for `harbour`.
        """
        post = None if delivery.options.get("remote") else self._post(delivery)
        return post.forge if post else None

    def _post(self, delivery: Delivery) -> Post | None:
        for path in (COMPANY_FILE, self.paths.home / USER_FILE):
            if post := find_post(read_text(path), str(path), Path(delivery.repository), self.env, self.clock):
                return post
        return None

    def clear(self, delivery_id: str, objects: bool = False) -> None:
        """Removes the work folders of a delivery that is over; the desk and the outcomes stay, and `objects` if asked."""
        ground = self.folder(delivery_id) / "ground"
        for folder in (ground / "trees", ground / "copies") if objects else (ground,):
            shutil.rmtree(folder, ignore_errors=True)

    def _scan(self, config: Config) -> Scan | None:
        """The guard, loaded with the first diff that is inspected; None: it is switched off."""
        if config.guard.mode == "off":
            return None

        def scan(blocks: Sequence[Block]) -> Sequence[Found]:
            from mohist.app.guard import scanner

            return scanner(config.guard, self.paths, self.env, waits=False).scan(blocks)

        return scan

    async def _reading_ground(self, delivery: Delivery) -> GitGround:
        async with self.machine() as machine:
            return await self.ground(delivery, machine)

    def _make_target(self, delivery: Delivery, machine: Machine, backend: str) -> Callable[[Environment], Target]:
        means = Means(
            machine.sandbox,
            self.paths.home / "targets" / name_of(delivery.repository),
            self.env,
            machine.readable,
            backend,
            self.env,
        )
        return partial(make_target, means=means)


class HeldStore(ChronicledStore):
    """The tables, of which one process runs what it holds the lock of: for engines that don't share work out themselves."""

    def take(self, office: Office, only: str = "") -> HeldStore:
        """Binds it to an office.

        Args:
            office: whose folders the locks are in.
            only: the one delivery that is run; empty: all that nobody else holds.
        """
        self._office, self._only, self._held = office, only, dict[str, object]()
        return self

    def running(self) -> list[Delivery]:
        """Deliveries with a segment that are this process's to run."""
        rows = [row for row in super().running() if self._only in ("", row.delivery_id)]
        for name in self._held.keys() - {row.delivery_id for row in rows}:
            self._held.pop(name).close()  # type: ignore[attr-defined]
        return [row for row in rows if self._hold(row.delivery_id)]

    def list(self, status: str = "") -> Sequence[Delivery]:
        """As the tables have them; of one that is run alone only that."""
        return [row for row in super().list(status) if self._only in ("", row.delivery_id)]

    def close(self) -> None:
        for lock in self._held.values():
            lock.close()  # type: ignore[attr-defined]
        self._held.clear()
        super().close()

    def _hold(self, delivery_id: str) -> bool:
        if delivery_id in self._held:
            return True
        try:
            lock = hold_lock(self._office.folder(delivery_id) / "lock", "Another process works on it.")
        except TreeBusyError:
            return False
        self._held[delivery_id] = lock
        return True


def _model_of(delivery: Delivery, job: Job) -> str | None:
    """The model for a job: of a recording its step's file, of the reviewer its own where one was named."""
    named = str(delivery.options.get("model") or "")
    if named.startswith("replay:"):
        return f"{named}/{name_of_step(job.key)}.jsonl"
    if job.role == "reviewer" and delivery.options.get("reviewer_model"):
        return str(delivery.options["reviewer_model"])
    return named or None


def name_of_step(key: str) -> str:
    """The file name of a job's step: `delivery/attempt/implement/T1` gives `1-implement-T1`."""
    return key.partition("/")[2].replace("/", "-").replace("~", "-")
