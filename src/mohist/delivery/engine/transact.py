"""The library DBOS Transact, as far as it is used: launched without what we don't want, its errors told in our words.

A segment is one workflow, with the segment's key as its id, without steps of DBOS's own. The library has one instance in a
process. Its own ways to send anything elsewhere are off: no traces, no remote control (that takes a key), no HTTP doors (3.0
took them out), and its texts go to our log.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer, WorkflowStatus
from dbos import error as dbos_error
from dbos._serialization import DefaultSerializer
from sqlalchemy.exc import SQLAlchemyError

from mohist.delivery.engine.contract import Json, SegmentState, SegmentStatus, reason
from mohist.delivery.errors import EngineError
from mohist.gateway.address import Address

QUEUE: Final = "segments"
_NAME: Final = "mohist"
_WORKFLOW: Final = "segment"
_STATES: Final[Mapping[str, SegmentState]] = {
    "ENQUEUED": "queued",
    "DELAYED": "queued",
    "PENDING": "running",
    "SUCCESS": "done",
    "CANCELLED": "cancelled",
}
_LINK: Final = {"connect_timeout": 5, "keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3}
_POOL: Final = 5
_QUIET_S: Final = 300.0
_BRIEF_S: Final = 0.25


def launch(address: Address, executor_id: str, version: str, run: Callable[[str], Json]) -> None:
    """Starts the library; it takes up at once what this executor left.

    Raises:
        EngineError: the database can't be used, or the environment asks for what is not used.
    """
    if os.environ.get("DBOS__CLOUD") == "true":
        raise EngineError(
            "DBOS__CLOUD is set: DBOS would hand its work to a service elsewhere.", "Unset it for this worker."
        )
    _refuse_pickle()
    log = logging.getLogger("dbos")
    if not log.handlers:
        # Else it would write to the terminal by itself.
        log.addHandler(logging.NullHandler())
    config = DBOSConfig(
        name=_NAME,
        system_database_url=address.url.set(drivername=address.url.get_backend_name()).render_as_string(
            hide_password=False
        ),
        executor_id=executor_id,
        application_version=version,
        serializer=DBOSPortableJSONSerializer(),
        enable_otlp=False,
        log_level="WARNING",
        sys_db_pool_size=_POOL,
        use_listen_notify=False,
        # Neither its messages nor its schedules are used.
        scheduler_polling_interval_sec=_QUIET_S,
        # Looks at nothing where nobody waits; ends the sooner when it is told to.
        notification_listener_polling_interval_sec=_BRIEF_S,
    )
    if address.path is None:
        config["db_engine_kwargs"] = {"connect_args": {"application_name": "mohist-engine", **_LINK}}
    with told():
        DBOS(config=config)
        DBOS.workflow(name=_WORKFLOW, max_recovery_attempts=None)(_named(run))
        DBOS.launch()


def offer(workers: int, poll_s: float) -> None:
    """Takes work on from here on, so many segments at a time."""
    with told():
        DBOS.register_queue(QUEUE, worker_concurrency=workers, polling_interval_sec=poll_s, on_conflict="always_update")


def end() -> None:
    """Stops the library."""
    DBOS.destroy(destroy_registry=True)


def enqueue(key: str, version: str) -> None:
    """Has a segment run; nothing where it is known already."""
    with told():
        DBOS.enqueue_workflow_with_options(
            {"workflow_name": _WORKFLOW, "queue_name": QUEUE, "workflow_id": key, "app_version": version}, key
        )


def resume(keys: Sequence[str]) -> None:
    """Has segments run again that are not over, whoever runs them now."""
    if keys:
        with told():
            DBOS.resume_workflows(list(keys), queue_name=QUEUE)


def renew(key: str, version: str) -> None:
    """Makes a segment of another version one of this one. A death in between forgets it, and the book starts it again."""
    with told():
        DBOS.delete_workflow(key)
    enqueue(key, version)


def cancel(key: str) -> None:
    """Has a segment not run, where it is known."""
    with told():
        if DBOS.list_workflows(workflow_ids=[key], load_input=False, load_output=False):
            DBOS.cancel_workflow(key)


def unfinished(*, running: bool, executor_id: str | None = None) -> Sequence[WorkflowStatus]:
    """Segments that are not over: those that run somewhere, or those that wait as well."""
    with told():
        return DBOS.list_workflows(
            status=["PENDING"] if running else ["PENDING", "ENQUEUED"],
            executor_id=executor_id,
            name=_WORKFLOW,
            load_input=False,
            load_output=False,
        )


def status(keys: Sequence[str]) -> Mapping[str, SegmentStatus]:
    """How far segments are."""
    with told():
        found = DBOS.list_workflows(workflow_ids=list(keys), load_input=False) if keys else []
    known = {one.workflow_id: _status(one) for one in found}
    return {key: known.get(key, SegmentStatus(key, "unknown")) for key in keys}


@contextmanager
def told() -> Iterator[None]:
    """Makes an EngineError of what the library says."""
    try:
        yield
    except (dbos_error.DBOSException, SQLAlchemyError) as error:
        # Without what it says: texts of a database's driver can hold statements and addresses.
        raise EngineError(f"DBOS can't do that: {type(error).__name__}.", "The log has more.") from error


def _status(one: WorkflowStatus) -> SegmentStatus:
    state = _STATES.get(one.status, "failed")
    error = getattr(one.error, "message", None) or (str(one.error) if one.error else "")
    result = one.output if state == "done" else None
    return SegmentStatus(one.workflow_id, state, one.executor_id or "", result, error if state == "failed" else "")


def _named(run: Callable[[str], Json]) -> Callable[[str], Json]:
    def segment(key: str) -> Json:
        try:
            return run(key)
        except Exception as error:  # - the boundary of a segment: what its body raised is recorded
            raise EngineError(reason(error)) from error

    return segment


def _refuse_pickle() -> None:
    """The serializer is set to JSON, but each row names its own: one that says pickle would be loaded all the same, and
    whoever can write to the database would run code here."""

    def refuse(cls: DefaultSerializer, serialized_data: str) -> Any:
        del cls, serialized_data
        raise EngineError("A row of the engine's database holds a pickle; Mohist never writes one.")

    DefaultSerializer.deserialize = refuse  # type: ignore[method-assign]
