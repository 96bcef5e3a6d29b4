"""The gateway follows its register: the database's and the machine's file, and keeps the last good one when either fails."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mohist.app.roll import Roll
from mohist.gateway.address import Address, file_address
from mohist.gateway.change import Author
from mohist.gateway.register import Edit, RegisterStore
from mohist.gateway.registrar import Registrar
from mohist.ledger import Draft, LedgerError
from mohist.policy.errors import RegisterError
from mohist.policy.register import entry_of

FILE = (
    '[[entry]]\nid = "m"\ntool = "codex"\ndisposition = "banned"\nreason = "r"\nalternative = "a"\nfirst_step = "f"\n'
)
ENTRY = {"id": "d", "tool": "aider", "disposition": "banned", "reason": "r", "alternative": "a", "first_step": "f"}


class Scene:
    """A database, a machine's file, and what is said and entered."""

    def __init__(self, folder: Path) -> None:
        self.address: Address = file_address(folder / "gateway.db")
        self.managed = folder / "register.toml"
        self.registrar = Registrar()
        self.told: list[str] = []
        self.entered: list[Draft] = []
        self.full = False
        self.roll = Roll(self.registrar, self.address, self.told.append, self.enter, self.managed)
        RegisterStore(self.address).close()

    def enter(self, draft: Draft) -> None:
        if self.full:
            raise LedgerError("The disk is full.")
        self.entered.append(draft)

    def change(self, edit: Edit) -> None:
        with RegisterStore(self.address, author=Author("ann")) as store:
            store.change(edit)

    @property
    def ids(self) -> list[str]:
        return [entry.entry_id for register in self.registrar.registers for entry in register.entries]


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    made = Scene(tmp_path)
    yield made
    await made.roll.close()


async def test_a_change_in_the_database_is_in_force_at_the_next_look(scene: Scene) -> None:
    await scene.roll.begin()
    assert scene.ids == []
    scene.change(Edit((entry_of(ENTRY),)))
    await scene.roll.look()
    assert scene.ids == ["d"]
    assert scene.told[-1] == "register: 1 entries, tools that are in none are allowed"
    told = len(scene.told)
    await scene.roll.look()
    assert len(scene.told) == told


async def test_the_machines_file_is_in_force_beside_it_and_entered(scene: Scene) -> None:
    scene.managed.write_text(FILE, encoding="utf-8")
    await scene.roll.begin()
    assert scene.ids == ["m"]
    scene.change(Edit((entry_of(ENTRY),)))
    scene.managed.write_text(FILE.replace('"m"', '"n"'), encoding="utf-8")
    await scene.roll.look()
    assert scene.ids == ["n", "d"]
    assert [draft.data["entries"] for draft in scene.entered] == [1, 1]
    assert scene.entered[0].data["digest"] != scene.entered[1].data["digest"]


async def test_a_bad_file_stops_the_start_and_replaces_nothing_later_nor_does_a_missing_one(scene: Scene) -> None:
    scene.managed.write_text("[register\n", encoding="utf-8")
    with pytest.raises(RegisterError):
        await scene.roll.begin()
    scene.managed.write_text(FILE, encoding="utf-8")
    await scene.roll.begin()
    scene.managed.write_text("[register\n", encoding="utf-8")
    await scene.roll.look()
    await scene.roll.look()
    assert scene.ids == ["m"]
    assert "not valid TOML" in scene.registrar.trouble
    assert sum("what was read before stays in force" in line for line in scene.told) == 1
    scene.managed.unlink()
    await scene.roll.look()
    assert (scene.ids, scene.registrar.trouble) == (["m"], "")


async def test_a_file_that_cant_be_entered_is_not_in_force(scene: Scene) -> None:
    await scene.roll.begin()
    scene.full = True
    scene.managed.write_text(FILE, encoding="utf-8")
    await scene.roll.look()
    assert scene.ids == []
    scene.full = False
    await scene.roll.look()
    assert scene.ids == ["m"]


async def test_while_the_database_is_away_the_last_register_holds_and_the_file_is_followed(scene: Scene) -> None:
    scene.change(Edit((entry_of(ENTRY),)))
    await scene.roll.begin()
    path = scene.address.path
    assert path is not None
    away = path.rename(path.with_suffix(".away"))
    path.mkdir()
    scene.managed.write_text(FILE, encoding="utf-8")
    await scene.roll.look()
    assert scene.ids == ["m", "d"]
    assert scene.registrar.trouble != ""
    path.rmdir()
    away.rename(path)
    scene.change(Edit(removed=("d",)))
    await scene.roll.look()
    assert (scene.ids, scene.registrar.trouble) == (["m"], "")
