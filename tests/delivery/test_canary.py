"""Canary, blue and green with real processes behind the shipped switch: who of the users meets the new release, and who a bad one."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
from deploy_room import NEW, OLD, environment
from process_room import Host, Seen, opened, users

from mohist.delivery.environment import Environment
from mohist.delivery.state import Release

pytestmark = [pytest.mark.release, pytest.mark.enable_socket]

SHARE = 20
"""Percent of new connections."""


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    async with opened(tmp_path) as made:
        yield made


def canary(host: Host, probe: str = "", weights: str = str(SHARE)) -> Environment:
    return environment(
        more=f'strategy = "canary"\nweights = [{weights}]',
        target=f'kind = "process"\ncommand = "serve"\nlisten = "{host.target.listen}"',
        probe=f"successes = 2\ninterval_s = 0.05\nwithin_s = 40\n{probe or 'bake_s = 4'}",
    )


async def watched(host: Host, commit: str) -> tuple[Release, Seen]:
    """Deploys while users ask; what they saw, from the deploy's begin to its end."""
    seen = Seen()
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(users, host, seen)
        row = await host.deploy(commit)
        group.cancel_scope.cancel()
    return row, seen


async def test_a_share_of_the_users_meets_the_canary_and_all_of_them_what_is_left(host: Host) -> None:
    await host.deploy(OLD)
    host.environment = canary(host)
    during: list[str] = []
    turned = host.target.activate

    class Watching:
        def __getattr__(self, name: str) -> object:
            return getattr(target, name)

        async def activate(self, release: object, weight: int = 100) -> None:
            if weight == 100:
                during.extend(seen.versions)
            else:
                seen.versions.clear()
            await turned(release, weight)  # type: ignore[arg-type]

    target, seen = host.target, Seen()
    host.target = Watching()  # type: ignore[assignment]
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(users, host, seen)
        row = await host.deploy(NEW)
        group.cancel_scope.cancel()
    host.target = target
    assert row.status == "committed", row
    assert seen.failures == []
    counted = Counter(during)
    assert counted[NEW] > 0
    # Half of the users keep their connection, and that stays where it is: the share is of the others, so at most SHARE.
    assert counted[NEW] / len(during) <= SHARE / 100 + 4 * math.sqrt(0.25 / len(during))
    assert seen.versions[-1] == NEW


async def test_a_canary_that_breaks_is_withdrawn_and_hurts_nobody_beyond_its_share(host: Host) -> None:
    first = await host.deploy(OLD)
    host.modes[NEW] = "much-later"  # well while it is looked at beside, and as a canary at first; then it breaks
    host.environment = canary(host, "bake_s = 40\nfailures = 3")
    row, seen = await watched(host, NEW)
    assert (row.status, row.previous) == ("rolled-back", first.release_id), row
    assert NEW in seen.versions, "it broke as a canary, not before"
    assert set(seen.wrong) <= {NEW}, "whoever was not of the canary's share saw nothing"
    assert len(seen.wrong) == len(seen.failures), "no connection was cut or refused"
    asked = len(seen.versions) + len(seen.failures)
    assert len(seen.failures) / asked <= SHARE / 100
    assert seen.versions[-1] == OLD
    assert (await host.target.status()).detail == f"serving: {first.release_id}"


async def test_a_canary_that_flaps_is_withdrawn(host: Host) -> None:
    first = await host.deploy(OLD)
    host.modes[NEW] = "flap"
    host.environment = canary(host, "bake_s = 30\nfailures = 100\nflaps = 3\nerror_rate = 1.0")
    row, seen = await watched(host, NEW)
    assert row.status == "rolled-back", row
    assert "flap" in row.detail or "turned" in row.detail, row.detail
    assert set(seen.wrong) <= {NEW}
    assert (await host.target.status()).active == first.release_id


async def test_a_release_that_flaps_before_the_switch_is_never_shown(host: Host) -> None:
    first = await host.deploy(OLD)
    host.modes[NEW] = "flap"
    host.environment = environment(
        target=f'kind = "process"\ncommand = "serve"\nlisten = "{host.target.listen}"',
        probe="successes = 20\ninterval_s = 0.05\nwithin_s = 40\nflaps = 3",
    )
    row, seen = await watched(host, NEW)
    assert row.status == "rolled-back", row
    assert seen.failures == []
    assert set(seen.versions) == {OLD}
    assert (await host.target.status()).active == first.release_id
