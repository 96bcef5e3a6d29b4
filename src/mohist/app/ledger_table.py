"""`[ledger]` of `mohist.toml` as data from outside."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from mohist.base import MohistError

MAX_DAYS = 36_500


def _file(value: str) -> str:
    if not value.startswith(("/", "~/")) or ".." in value.split("/"):
        raise ValueError("must be absolute or start with ~/, without ..")
    return value


def _database(value: str) -> str:
    start, _, rest = value.partition("://")
    if start not in ("postgresql", "postgres", "postgresql+psycopg") or not rest:
        raise ValueError("must be postgresql://USER@HOST/DATABASE")
    # A password may hold any sign but @, so this says no rather than guess.
    if ":" in rest.rpartition("@")[0] or "password=" in rest.lower():
        raise ValueError("must hold no password; name a file with database_password_file, or use PGPASSFILE")
    return value


def _origin(value: str) -> str:
    if any(character.isspace() or character == "+" for character in value):
        raise ValueError("must hold no space and no plus sign")
    return value


def _witness(value: str) -> str:
    from mohist.ledger import note

    words = value.split()
    if len(words) not in (2, 3) or not all(word.startswith(("http://", "https://")) for word in words[1:]):
        raise ValueError("has the form `VERIFIER-KEY URL`, and a second URL where its monitoring prefix differs")
    try:
        key = note.VerifierKey.parse(words[0])
    except MohistError as error:
        raise ValueError(error.what) from None
    if key.kind != note.COSIGNATURE:
        raise ValueError(f"names the key of {key.name}, which is not a witness's")
    return value


def _retention(value: str) -> str:
    from mohist.ledger import KINDS

    words = value.split()
    if len(words) != 2 or not words[1].isdigit() or not 0 < int(words[1]) <= MAX_DAYS:
        raise ValueError(f"has the form `KIND DAYS`, or `* DAYS` for all other kinds, with 1 to {MAX_DAYS} days")
    if words[0] != "*" and words[0] not in KINDS:
        raise ValueError(f"names the kind {words[0][:40]!r}, which no entry has")
    return value


class LedgerTable(BaseModel):
    """`[ledger]`: the evidence of what happened, and who vouches for it."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    on: bool = Field(True, description="`false`: nothing is entered, which every command says.")
    origin: Annotated[str, AfterValidator(_origin), Field(min_length=1, max_length=200)] | None = Field(
        None, description="The log's name in its checkpoints: `example.com/mohist`. Left out: one is made up, once."
    )
    database_url: Annotated[str, AfterValidator(_database)] | None = Field(
        None,
        description="`postgresql://USER@HOST/DATABASE`, without a password: the log is kept there, for several machines. Left out: "
        "`ledger/log.db` in the state folder. Variable: `MOHIST_LEDGER_DATABASE_URL`.",
    )
    database_password_file: Annotated[str, AfterValidator(_file)] | None = Field(
        None,
        description="A file that holds that database's password and nothing else. Left out: libpq's own ways (`PGPASSFILE`, "
        "`~/.pgpass`). Variable: `MOHIST_LEDGER_DATABASE_PASSWORD_FILE`.",
    )
    root_key_file: Annotated[str, AfterValidator(_file)] | None = Field(
        None,
        description="32 bytes under which the keys of contents are kept. Left out: `ledger/root.key` in the state folder.",
    )
    signer_socket: Annotated[str, AfterValidator(_file)] | None = Field(
        None,
        description="Socket of a signer that runs on its own, best as another user: `mohist ledger signer`. Left out: one is "
        "started when it is needed, as this user.",
    )
    witnesses: list[Annotated[str, AfterValidator(_witness)]] = Field(
        default_factory=list,
        description="Witnesses (C2SP tlog-witness), each `VERIFIER-KEY URL`: run by others, on other machines. Without one, "
        "nobody can tell whether the log's owner rewrote it.",
    )
    quorum: Annotated[int, Field(ge=0, le=16)] = Field(
        0, description="How many witnesses make a checkpoint a witnessed one. 0: all that are named."
    )
    checkpoint_s: Annotated[float, Field(ge=1, allow_inf_nan=False)] = Field(
        10.0, description="Seconds between two checkpoints while entries come."
    )
    heartbeat_s: Annotated[float, Field(ge=1, allow_inf_nan=False)] = Field(
        60.0, description="Seconds between two cosignatures while nothing comes."
    )
    keep_contents: bool = Field(
        True,
        description="Prompts, arguments and changes are kept, encrypted. `false`: entries only commit to them.",
    )
    people_statistics: bool = Field(
        False,
        description="`mohist trace --summary --people` counts lines by person. In many places their representatives have a say in it.",
    )
    trailers: Literal["off", "run", "entry"] = Field(
        "run",
        description="What commits of deliveries say of runs in their trailers. `run`: run and model. `entry`: and where it stands in "
        "the ledger, as `Ledger-Entry: ORIGIN#INDEX`. `off`: nothing. Delivery and task are named in any case.",
    )
    retention: list[Annotated[str, AfterValidator(_retention)]] = Field(
        default_factory=list,
        description="How many days contents are kept, by kind of entry: `run.prompt 90`, `* 730` for all others. They are dropped "
        "once a day while a server runs, and by `mohist ledger prune`; never under a legal hold. A kind without any: for good.",
    )
