"""Where the database is, and that its password shows nowhere."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from fakes.postgres import Postgres
from mohist.gateway.address import Address, home_address
from mohist.gateway.budget import Budget
from mohist.gateway.errors import StoreError
from mohist.gateway.key import Key
from mohist.gateway.store import Store

PASSWORD = secrets.token_hex(8)
URL = f"postgresql://ann:{PASSWORD}@db.example.com/mohist"


def test_without_a_word_it_is_a_file_in_the_state_folder(tmp_path: Path) -> None:
    address = home_address(tmp_path, {})
    assert (address.path, address.journals) == (tmp_path / "gateway.db", tmp_path / "gateway.journals")


def test_a_file_elsewhere_has_its_journals_beside_it_so_that_all_who_use_it_find_them(tmp_path: Path) -> None:
    address = home_address(tmp_path / "home", {"MOHIST_DATABASE_URL": f"sqlite:///{tmp_path}/other/calls.db"})
    assert (address.path, address.journals) == (tmp_path / "other/calls.db", tmp_path / "other/calls.journals")


def test_the_environment_wins_over_what_is_configured(tmp_path: Path) -> None:
    assert home_address(tmp_path, {"MOHIST_DATABASE_URL": URL}, "sqlite:////configured.db").path is None
    assert home_address(tmp_path, {}, "sqlite:////configured.db").path == Path("/configured.db")


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_postgresql_is_understood_by_its_usual_names(tmp_path: Path, scheme: str) -> None:
    address = home_address(tmp_path, {}, URL.replace("postgresql", scheme, 1))
    assert (address.shown, address.url.password) == ("postgresql://db.example.com/mohist", PASSWORD)
    assert address.url.drivername == "postgresql+psycopg"


def test_a_password_comes_from_a_file_too(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n", encoding="utf-8")
    env = {"MOHIST_DATABASE_PASSWORD_FILE": str(file)}
    assert home_address(tmp_path, env, "postgresql://ann@db.example.com/mohist").url.password == PASSWORD
    file.unlink()
    with pytest.raises(StoreError, match="Can't read the database's password"):
        home_address(tmp_path, env, "postgresql://ann@db.example.com/mohist")


@pytest.mark.parametrize(
    "url",
    [f"mysql://ann:{PASSWORD}@host/db", f"ann:{PASSWORD}@host", "sqlite://", "sqlite:///:memory:"],
    ids=["other", "none", "no-path", "memory"],
)
def test_what_is_no_such_url_is_refused_without_being_told(tmp_path: Path, url: str) -> None:
    with pytest.raises(StoreError) as caught:
        home_address(tmp_path, {}, url)
    assert PASSWORD not in str(caught.value)


def test_a_password_shows_in_no_error_and_no_representation(tmp_path: Path, running_postgres: Postgres) -> None:
    for place in (f"nowhere?host={running_postgres.folder}", f"x?host={tmp_path}"):
        address = home_address(tmp_path, {}, f"postgresql://mohist:{PASSWORD}@/{place}")
        with pytest.raises(StoreError) as caught:
            Store(address)
        shown = f"{caught.value}{caught.value!r}{address!r}{caught.value.__cause__}"
        assert PASSWORD not in shown


def test_keys_and_budgets_are_kept_alike_on_both(address: Address) -> None:
    key = Key("key-1", "ann", "shop", "core", ("qwen*",), ("codex*",), ("openai-chat",), 1, 2, None, 3, 4)
    budget = Budget("key", "key-1", "day", 5, None, allow_unpriced=True)
    with Store(address) as store:
        store.add_key(key, bytes(range(32)), [budget])
        with pytest.raises(StoreError):
            store.add_key(key, bytes(range(32)))
        assert (store.key("key-1"), store.budgets()) == (key, [budget])
        store.set_budget(Budget("key", "key-1", "day", None, 6))
        store.rotate_key("key-1", bytes(32), 10, grace_ms=5)
        revision, keys, kept, budgets = store.policy()
        assert (revision, keys, budgets) == (4, [key], [Budget("key", "key-1", "day", None, 6)])
        assert {(secret.hash, secret.expires_at_ms) for secret in kept} == {(bytes(range(32)), 15), (bytes(32), None)}
        assert store.revoke_key("key-1", 20).revoked_at_ms == store.revoke_key("key-1", 30).revoked_at_ms == 20
        with pytest.raises(StoreError, match="is revoked"):
            store.rotate_key("key-1", bytes(31), 40)
        with pytest.raises(StoreError, match="There is no key"):
            store.revoke_key("key-2", 1)
        assert (store.remove_budgets("key", "key-1"), store.remove_budgets("key", "key-1")) == (1, 0)
