"""Deliveries whose tables are a PostgreSQL server's: two workers, from the requirement to the service that runs."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import httpx2
import psycopg
import pytest
from delivering import Open, environment, free_port, shop
from developer import until

from fakes.postgres import Postgres
from mohist.gateway.address import URL_VARIABLE

pytestmark = [pytest.mark.release, pytest.mark.enable_socket]


@pytest.fixture
def server() -> Iterator[Postgres]:
    made = Postgres()
    yield made
    made.remove()


@pytest.mark.timeout(300)
def test_two_workers_of_a_server_deliver_though_each_is_killed_on_the_way(opened: Open, server: Postgres) -> None:
    port = free_port()
    one = opened(shop(), environment(port))
    dev = one.dev
    dev.env[URL_VARIABLE] = server.url(server.new_database())
    workers = {number: dev.start("deliver", "work") for number in (1, 2)}
    assert dev.mohist(*one.deliver("--yes", "--detach")).code == 0
    with psycopg.connect(dev.env[URL_VARIABLE], autocommit=True) as db:
        for number, stage in ((1, "implement"), (2, "deploy")):
            asked = "SELECT 1 FROM delivery_stages WHERE stage = %s AND status = 'working'"
            until(lambda asked=asked, stage=stage: db.execute(asked, (stage,)).fetchone(), f"{stage} to begin", 90)
            os.kill(workers[number].pid, signal.SIGKILL)
            workers[number].wait()
            workers[number] = dev.start("deliver", "work")
    until(lambda: one.show()["status"] in ("done", "failed"), "the workers to deliver", 120)
    told = one.show()
    assert (told["status"], told["segment"]) == ("done", ""), told["detail"]
    assert [row["status"] for row in told["releases"]] == ["committed"]
    assert httpx2.get(f"http://127.0.0.1:{port}/").json() == {"version": told["merged"], "shipping": 0}
    # One spec and one change on what was there, one branch, every run paid once.
    assert dev.git("rev-list", "--count", "release").strip() == "3"
    assert one.branches() == ["main", "release"]
    assert told["spent_tokens"] == sum(row["tokens"] for row in told["stages"])
    assert not (dev.home / "deliveries.db").exists(), "all of it is the server's"
    assert dev.mohist("deliver", "approve", "last", "--as", "somebody").code == 3
    for worker in workers.values():
        worker.send_signal(signal.SIGTERM)
        assert dev.ended(worker).code == 0
