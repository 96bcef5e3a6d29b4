"""What the base commit, the company's file and the user's say about a delivery's gates; read anew when one of them changes.

.mohist/deliver.toml at the base commit   the project's, which may loosen
/etc/mohist/deliver.toml                  the company's, which only tightens
$MOHIST_HOME/deliver.toml                 the user's, which only tightens
"""

from __future__ import annotations

import dataclasses
import difflib
import threading
import tomllib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio

from mohist.delivery.check.diff import split_diff
from mohist.delivery.environment import DELIVER_FILE, DeployPlan, load_environments
from mohist.delivery.errors import RuleError
from mohist.delivery.gate import Change, Place, Ruling, required, touched
from mohist.delivery.ground import GitGround
from mohist.delivery.machine import OVER, Required
from mohist.delivery.owner import PLACES, first_owners
from mohist.delivery.rule import TABLES, Rules, load_rules, tighten
from mohist.delivery.spec import folder_of, parse
from mohist.delivery.state import Delivery, Facts

COMPANY_FILE: Final = Path("/etc/mohist/deliver.toml")
USER_FILE: Final = "deliver.toml"
"""In the state folder."""

Opener = Callable[[Delivery], Awaitable[GitGround]]


_Stamp = tuple[str | tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class _Known:
    """What was read for a delivery, and of which base and files."""

    stamp: _Stamp
    ruling: Ruling
    plan: DeployPlan


class Rulings:
    """Remembers what was read; safe to use from several threads.

    Args:
        home: the state folder.
        ground_of: opens a delivery's ground.
        company: the company's file.
    """

    def __init__(self, home: Path, ground_of: Opener, company: Path = COMPANY_FILE) -> None:
        self._files = (company, home / USER_FILE)
        self._ground_of = ground_of
        self._rulings: dict[str, _Known] = {}
        self._changes: dict[tuple[str, str, str], Change] = {}
        self._guard = threading.Lock()

    def required(self, facts: Facts) -> Required:
        """The gates that the rules demand. Belongs in a thread: what is not known yet is read from git first."""
        delivery = facts.delivery
        if delivery.status in OVER:
            return {}
        if not self._knows(delivery):
            anyio.run(self._look, delivery)
        return self.known(facts)

    def known(self, facts: Facts) -> Required:
        """As `required`, where `know` was awaited before."""
        delivery = facts.delivery
        change, ruling = self._changes.get(_span(delivery)), self._rulings[delivery.delivery_id].ruling
        if change is not None and facts.spec is not None:
            draft = parse(facts.spec.text)
            data = touched(draft.data_touched, ruling.rules)
            change = dataclasses.replace(change, data=data, irreversible=draft.irreversible)
        return required(facts, change, ruling)

    async def know(self, delivery: Delivery, ground: GitGround) -> Ruling:
        """Reads what is not known yet, or was read from another base or from files that have changed since.

        Raises:
            RuleError, EnvironmentsError: a file is not as it must be; nothing of it is in force.
        """
        name, stamp = delivery.delivery_id, self._stamp(delivery)
        if name not in self._rulings or self._rulings[name].stamp != stamp:
            contents = await ground.contents(delivery.base_commit, [DELIVER_FILE, *PLACES])
            text = contents.get(DELIVER_FILE, b"").decode("utf-8", "replace")
            texts: dict[str, str | None] = {path: data.decode("utf-8", "replace") for path, data in contents.items()}
            plan = load_environments(text)
            _spelled(text, DELIVER_FILE)
            ruling = Ruling(await self.rules(text), first_owners(texts), _places(plan, delivery))
            with self._guard:
                self._rulings[name] = _Known(stamp, ruling, plan)
        if delivery.commit and _span(delivery) not in self._changes:
            change = await _measured(delivery, ground)
            with self._guard:
                self._changes[_span(delivery)] = change
        return self._rulings[name].ruling

    def teams(self, facts: Facts, person: str) -> tuple[str, ...]:
        """The teams that a person is in, by the rules of this delivery. Belongs in a thread."""
        if not self._knows(facts.delivery):
            anyio.run(self._look, facts.delivery)
        return self._rulings[facts.delivery.delivery_id].ruling.rules.teams_of(person)

    def plan(self, delivery_id: str) -> DeployPlan:
        """Environments and build, where `know` was awaited before."""
        return self._rulings[delivery_id].plan

    async def rules(self, project: str) -> Rules:
        """The project's rules, tightened by the company's and the user's."""
        rules = load_rules(project)
        for path in self._files:
            rules = tighten(rules, await anyio.to_thread.run_sync(_read_rules, path))
        return rules

    def _knows(self, delivery: Delivery) -> bool:
        known = self._rulings.get(delivery.delivery_id)
        if known is None or known.stamp != self._stamp(delivery):
            return False
        return not delivery.commit or _span(delivery) in self._changes

    def _stamp(self, delivery: Delivery) -> _Stamp:
        return (delivery.base_commit, *(_state(path) for path in self._files))

    async def _look(self, delivery: Delivery) -> None:
        await self.know(delivery, await self._ground_of(delivery))


def _span(delivery: Delivery) -> tuple[str, str, str]:
    """What a change is measured over: the same commit on another base changes other lines."""
    return delivery.delivery_id, delivery.base_commit, delivery.commit


async def _measured(delivery: Delivery, ground: GitGround) -> Change:
    """What a change touches beside the delivery's own spec and checks: those were agreed on at the spec's gate, and would
    make any change one of high risk, for they lie below `.mohist/`. Verification tells where they are not as agreed."""
    own = f"{folder_of(delivery.delivery_id)}/"
    entries = await ground.renamed(delivery.base_commit, delivery.commit)
    text = await ground.diff(delivery.base_commit, delivery.commit)
    paths: set[str] = set()
    count = 0
    for (_, before, after), (came, went) in zip(entries, split_diff(text, entries), strict=True):
        if not (before.startswith(own) and after.startswith(own)):
            paths.update((before, after))
            count += len(came) + len(went)
    return Change(tuple(sorted(paths)), count)


def _state(path: Path) -> tuple[int, int, int]:
    """Differs when a file was written or replaced; where it is not there, or can't be looked at, it is read to tell why."""
    try:
        told = path.stat()
    except OSError:
        return (0, 0, 0)
    return (told.st_mtime_ns, told.st_size, told.st_ino)


def _read_rules(path: Path) -> Rules:
    text = read_text(path)
    rules = load_rules(text, str(path), may_loosen=False)
    _spelled(text, str(path))
    return rules


def _spelled(text: str, origin: str) -> None:
    """Refuses a table that is nearly one of the rules': a rule that is misspelt must not be none."""
    for key in tomllib.loads(text).keys() - TABLES:
        if near := difflib.get_close_matches(key, sorted(TABLES), n=1, cutoff=0.75):
            raise RuleError(f"{origin}: {key!r} is not known.", f"Did you mean {near[0]!r}?")


def read_text(path: Path) -> str:
    """The text of a file of settings; empty where there is none."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise RuleError(f"{path} can't be read: {error}.", "It may hold rules that bind; nothing goes on.") from None


def _places(plan: DeployPlan, delivery: Delivery) -> tuple[Place, ...]:
    """The environments that it goes to: those that were named, else all; each must be known."""
    if delivery.options.get("no_deploy"):
        return ()
    named = delivery.options.get("environments") or [each.name for each in plan.environments]
    for name in named:
        plan.get(name)
    chosen = [each for each in plan.environments if each.name in named]
    return tuple(Place(each.name, each.needs, each.four_eyes, each.gated) for each in chosen)
