"""The tour of the demo: a sample service with a bare repository and an environment, and two requirements for it.

The first change is deployed. The second is right by its checks and needs a setting that the environment does not have.
"""

from __future__ import annotations

import shutil
import socket
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from anyio import to_thread

from mohist.app.deliver import Asked, begin
from mohist.app.demo import SAMPLE
from mohist.app.errors import ConfigError
from mohist.app.office import Office
from mohist.app.server import find_model
from mohist.delivery.ground import name_of
from mohist.delivery.machine import OVER
from mohist.delivery.state import Delivery
from mohist.delivery.target.probe import ProbeSpec
from mohist.delivery.target.process import ProcessTarget
from mohist.provider.errors import NoModelError
from mohist.sandbox import Profile, run

RECORDINGS: Final = SAMPLE / "delivery"
REPLAYED: Final = "model: replay of recorded runs; commands, edits, tests, merges and releases are real"
ENVIRONMENT: Final = "staging"
PRICE: Final = "/price?grams=900&order=12000"


@dataclass(frozen=True, slots=True)
class Chapter:
    """One delivery of the tour."""

    name: str
    """The folder of its recordings."""
    requirement: str


CHAPTERS: Final = (
    Chapter(
        "free",
        "Parcels of orders of 100.00 or more ship free. /price learns the sum of an order in cents as `order`; without it "
        "prices stay as they are.",
    ),
    Chapter(
        "currency",
        "/price also names the currency, as `currency`. It is a setting, PARCEL_CURRENCY, without a default: a price in "
        "a currency that nobody chose must not be told.",
    ),
)

_START: Final = (
    "git init -q --bare -b main parcel.git && git init -q -b main parcel && cd parcel && git add -A && "
    "git -c user.name=parcel -c user.email=parcel@localhost commit -q -m 'Start parcel' && "
    "git remote add origin ../parcel.git && git push -q -u origin main"
)


@dataclass(frozen=True, slots=True)
class Site:
    """Where the tour goes."""

    room: Path
    model: str | None
    """None: the recordings."""
    line: str
    """Which model it is, in a line."""
    port: int

    @property
    def folder(self) -> Path:
        """The developer's clone."""
        return self.room / "parcel"

    @property
    def remote(self) -> Path:
        """The bare repository."""
        return self.room / "parcel.git"


async def prepare(office: Office, model: str | None) -> Site:
    """Makes the service's repository in a new temporary folder, and picks the model: the one named, the configured one,
    else the recordings.

    Raises MohistError: the sandbox does not hold here, loopback is down, or the model's name means nothing.
    """
    port = await to_thread.run_sync(free_port)
    room = Path(tempfile.mkdtemp(prefix="mohist-demo-")).resolve()  # noqa: ASYNC240
    folder = room / "parcel"
    await to_thread.run_sync(_lay_out, folder, port)
    await _git(office, room, _START)
    if model is not None and model.startswith("replay:"):
        return Site(room, model, REPLAYED, port)
    async with office.machine() as bare:
        config, machine = office.config(bare, str(folder))
        try:
            chosen = await find_model(model, config, machine.env)
        except NoModelError:
            if model:
                raise
            return Site(room, None, REPLAYED, port)
    return Site(room, model or chosen.name, f"model: {chosen.name}", port)


async def open_chapter(office: Office, site: Site, chapter: Chapter, by: str, *, yes: bool) -> Delivery:
    """Begins one delivery, into the bare repository."""
    await _git(office, site.room, "cd parcel && git pull -q --ff-only")
    options = {
        "model": site.model or f"replay:{RECORDINGS / chapter.name}",
        "remote": str(site.remote),
        **({"yes": True} if yes else {}),
    }
    delivery, _ = await begin(office, Asked(chapter.requirement, folder=site.folder, options=options), by)
    return delivery


async def close(office: Office, site: Site) -> None:
    """Ends the service and its switch, and removes work folders; repositories and reports stay."""
    home = office.paths.home / "targets" / name_of(str(site.folder))
    await ProcessTarget(home / ENVIRONMENT, "", "", ProbeSpec()).end()
    await to_thread.run_sync(partial(shutil.rmtree, home, ignore_errors=True))
    for delivery in await to_thread.run_sync(office.book.list):
        if delivery.repository == str(site.folder) and delivery.status in OVER:
            await to_thread.run_sync(office.clear, delivery.delivery_id)


def free_port() -> int:
    """A port of loopback that nobody listens at.

    Raises ConfigError: loopback is down, as in a new network namespace.
    """
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port: int = server.getsockname()[1]
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return port
    except OSError as error:
        raise ConfigError(
            f"Nothing can be reached at 127.0.0.1 ({error.strerror or error}), and the sample service is deployed there.",
            "Bring loopback up: ip link set lo up",
        ) from None


def _lay_out(folder: Path, port: int) -> None:
    shutil.copytree(SAMPLE / "service", folder, ignore=shutil.ignore_patterns("__pycache__"))
    settings = folder / ".mohist" / "deliver.toml"
    settings.parent.mkdir()
    text = (SAMPLE / "deliver.toml").read_text("utf-8")
    settings.write_text(text.replace("{port}", str(port)), "utf-8")


async def _git(office: Office, room: Path, command: str) -> None:
    async with office.machine() as bare:
        _, machine = office.config(bare, str(room))
        done = await run(
            machine.sandbox,
            [machine.shell, "-c", command],
            cwd=room,
            profile=Profile(workspace=room, extra_readable=machine.readable),
            timeout_s=60,
        )
    if done.exit.code != 0:
        raise ConfigError(f"The sample service could not be made: {done.output.decode(errors='replace').strip()}")
