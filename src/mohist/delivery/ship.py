"""The deploy stage: every environment in order, each behind its gate, none behind one that is not well."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import anyio

from mohist.delivery.deploy import OPEN, Sleep, deploy, take_back
from mohist.delivery.environment import DeployPlan, Environment
from mohist.delivery.errors import DeliveryError, EnvironmentsError
from mohist.delivery.gate import Place
from mohist.delivery.stage import Context, Ended, ask, bounded, opened
from mohist.delivery.state import Delivery, Facts, Gate, Release
from mohist.delivery.target.contract import Target

MakeTarget = Callable[[Environment], Target]
GatesOf = Callable[[Facts], Sequence[Gate]]
"""The gates that must be approved before the next environment; `gate.gates_for("deploy", …)`."""


def environments_of(plan: DeployPlan, delivery: Delivery) -> tuple[Environment, ...]:
    """Those that this delivery goes to, in the order of the file: all, or what `options["environments"]` names.

    Raises:
        EnvironmentsError: with the nearest name.
    """
    asked = delivery.options.get("environments")
    if asked is None:
        return plan.environments
    wanted = {plan.get(name).name for name in asked}
    return tuple(environment for environment in plan.environments if environment.name in wanted)


def places_of(environments: Sequence[Environment]) -> tuple[Place, ...]:
    """As the rules of gates know them."""
    return tuple(
        Place(environment.name, environment.needs, environment.four_eyes, environment.gated)
        for environment in environments
    )


@dataclass(frozen=True, slots=True)
class Ship:
    """Fills `Stage`: `await Ship(…)(context)`.

    Args:
        plan: of the base commit.
        make: builds an environment's target.
        gates: whom to ask before the next environment.
    """

    plan: DeployPlan
    make: MakeTarget
    gates: GatesOf
    sleep: Sleep = anyio.sleep

    async def __call__(self, context: Context) -> Ended:
        return await bounded(self._run)(context)

    async def _run(self, context: Context) -> Ended:
        told = []
        for environment in environments_of(self.plan, (await context.facts()).delivery):
            facts = await context.facts()
            commit = facts.delivery.merged
            if not commit:
                return Ended("failed", "Nothing was merged that could be deployed.")
            if any(_there(release, environment, commit) for release in facts.releases):
                told.append(f"{environment.name}: already there")
                continue
            waits = [gate for gate in self.gates(facts) if (await opened(context, gate)).status != "approved"]
            if waits:
                return Ended("waiting", waits[0].subject)
            release = await self._deploy(context, facts, environment, commit)
            if release.status != "committed":
                return Ended("failed", f"{environment.name}: {release.status}: {release.detail}")
            told.append(f"{environment.name}: {release.release_id} serves")
        return Ended("done", "; ".join(told) or "no environment is named")

    async def _deploy(self, context: Context, facts: Facts, environment: Environment, commit: str) -> Release:
        irreversible = facts.spec.irreversible if facts.spec is not None else ()
        return await deploy(
            facts.delivery,
            environment,
            commit,
            context.book,
            context.ground,
            self.make(environment),
            context.clock,
            build=self.plan.build,
            irreversible=irreversible,
            sleep=self.sleep,
        )

    async def abandon(self, context: Context, because: str) -> tuple[Release, ...]:
        """Takes back what is half deployed, for a delivery that is cancelled; what is committed stays.

        Returns:
            Each release that was half deployed, as it is now: `rolled-back`; or, with what could not be done, `failed`
            where nobody knows what serves, and as it was where its target can't be made any more.
        """
        facts = await context.facts()
        ended = []
        for release in facts.releases:
            if release.status not in OPEN:
                continue
            try:
                environment = self.plan.get(release.environment)
                target = self.make(environment)
                ended.append(
                    await take_back(
                        facts.delivery,
                        environment,
                        release,
                        context.book,
                        target,
                        context.clock,
                        because,
                        sleep=self.sleep,
                    )
                )
            except DeliveryError as error:
                await context.note("alarm", f"{release.release_id} is half deployed, and {error}")
                ended.append(replace(release, detail=str(error)))
        return tuple(ended)


async def roll_back(
    context: Context, environment: Environment, target: Target, because: str, sleep: Sleep = anyio.sleep
) -> Release:
    """Takes this delivery's committed release in an environment back, because a person says so.

    Raises:
        EnvironmentsError: it released nothing there.
        TargetError: it does not serve any more.
    """
    facts = await context.facts()
    rows = await ask(context.book.releases, context.delivery_id, environment.name)
    if not rows:
        raise EnvironmentsError(f"Delivery {context.delivery_id!r} released nothing in {environment.name!r}.")
    latest = max(rows, key=lambda row: row.at_ms)
    return await take_back(
        facts.delivery, environment, latest, context.book, target, context.clock, because, sleep=sleep
    )


def _there(release: Release, environment: Environment, commit: str) -> bool:
    return release.environment == environment.name and release.status == "committed" and release.commit == commit
