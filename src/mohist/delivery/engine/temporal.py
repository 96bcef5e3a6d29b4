"""Segments on a Temporal server, for who runs one already (extra `temporal`).

A segment is one workflow with one activity, which runs the body; the journal has its steps, as with every adapter. The server
gives the activity to another worker when this one's heartbeats stay away.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, Final, TypeVar

from temporalio import activity, workflow
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError
from temporalio.common import RetryPolicy, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ActivityError, ApplicationError, CancelledError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from mohist.delivery.book import Book
from mohist.delivery.engine.contract import (
    Cancelled,
    HandedBack,
    Json,
    Segments,
    SegmentState,
    SegmentStatus,
    reason,
    segment_key,
)
from mohist.delivery.engine.journal import Journal
from mohist.delivery.engine.runner import WATCH_S, Runner, nothing
from mohist.delivery.errors import EngineError
from mohist.delivery.state import SegmentName

QUEUE: Final = "mohist-segments"
HEARTBEAT_S: Final = 4.0
"""A worker that was not heard of for so long is dead."""
_LIMIT_S: Final = 30.0
_YEAR: Final = timedelta(days=365)
_TASK: Final = timedelta(seconds=2)
"""For the workflow's own two decisions; a worker that dies with one in its hands delays it by so much."""
_STATES: Final[Mapping[WorkflowExecutionStatus, SegmentState]] = {
    WorkflowExecutionStatus.RUNNING: "running",
    WorkflowExecutionStatus.COMPLETED: "done",
    WorkflowExecutionStatus.CANCELED: "cancelled",
}

T = TypeVar("T")


@workflow.defn(name="segment")
class SegmentWorkflow:
    """One segment: its body as an activity, again and again until it ends."""

    @workflow.run
    async def run(self, key: str, heartbeat_s: float) -> Any:
        return await workflow.execute_activity(
            "segment",
            key,
            start_to_close_timeout=_YEAR,
            heartbeat_timeout=timedelta(seconds=heartbeat_s),
            retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=100), backoff_coefficient=1.0),
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )


class TemporalEngine:
    """Runs segments that a Temporal server gives to this worker.

    Args:
        target: `host:port` of the server.
        segments: the bodies.
        journal: where steps are recorded; the engine closes it.
        book: where effects are recorded.
        executor_id: of this worker, for people.
        namespace: of the server.
        workers: bodies that run here at the same time.
        stopped: see `Runner`.
        at: see `Runner`.
        watch_s: see `Runner`.
        heartbeat_s: see `HEARTBEAT_S`.

    Raises:
        EngineError: the server can't be reached.
    """

    def __init__(
        self,
        target: str,
        segments: Segments,
        journal: Journal,
        book: Book,
        *,
        executor_id: str = "worker-0",
        namespace: str = "default",
        workers: int = 4,
        stopped: Callable[[str], None] = nothing,
        at: Callable[[str], None] = nothing,
        watch_s: float = WATCH_S,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        self.executor_id = executor_id
        self._journal = journal
        self._heartbeat_s = heartbeat_s
        self._runner = Runner(segments, journal, book, executor_id, stopped=stopped, at=at, watch_s=watch_s)
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="segment")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="engine-temporal", daemon=True)
        self._thread.start()
        self._closed = False
        try:
            self._client, self._worker = self._do(self._open(target, namespace, workers))
        except BaseException:
            self._shut()
            raise

    def start(self, segment: SegmentName, delivery_id: str, turn: int) -> str:
        key = segment_key(segment, delivery_id, turn)
        with suppress(WorkflowAlreadyStartedError):
            self._do(
                self._client.start_workflow(
                    "segment",
                    args=[key, self._heartbeat_s],
                    id=key,
                    task_queue=QUEUE,
                    id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                    id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                    task_timeout=_TASK,
                )
            )
        return key

    def signal(self, key: str, name: str, value: Json, signal_id: str) -> None:
        self._journal.signal(key, signal_id, name, value)

    def cancel(self, key: str) -> None:
        self._journal.cancel(key)
        self._runner.end("cancelled", [key])
        self._do(self._cancel(key))

    def status(self, keys: Sequence[str]) -> Mapping[str, SegmentStatus]:
        return {status.key: status for status in self._do(self._statuses(keys))}

    def recover(self, executor_id: str) -> Sequence[str]:
        del executor_id  # The server has noticed.
        return []

    def close(self, grace_s: float = 10.0) -> None:
        if self._closed:
            return
        self._closed = True
        self._runner.stop(grace_s)
        with suppress(EngineError):
            self._do(self._worker.shutdown())
        self._shut()

    async def _open(self, target: str, namespace: str, workers: int) -> tuple[Client, Worker]:
        client = await Client.connect(target, namespace=namespace, identity=self.executor_id)
        worker = Worker(
            client,
            task_queue=QUEUE,
            workflows=[SegmentWorkflow],
            activities=[self._activity],
            # The workflow is ours and does nothing but start the activity.
            workflow_runner=UnsandboxedWorkflowRunner(),
            max_concurrent_activities=workers,
            # What a worker has in its cache waits for that worker first, ten seconds though it be dead.
            max_cached_workflows=0,
            max_heartbeat_throttle_interval=timedelta(seconds=self._heartbeat_s / 4),
            default_heartbeat_throttle_interval=timedelta(seconds=self._heartbeat_s / 4),
        )
        self._running = asyncio.ensure_future(worker.run())
        return client, worker

    @activity.defn(name="segment")
    async def _activity(self, key: str) -> Json:
        running = self._loop.run_in_executor(self._threads, self._run, key)
        try:
            while True:
                activity.heartbeat()
                done, _ = await asyncio.wait([running], timeout=self._heartbeat_s / 4)
                if done:
                    return running.result()
        except asyncio.CancelledError:
            # Cancelled by somebody, or the server gave it to another; the journal knows which.
            self._runner.end("lost", [key])
            await asyncio.wait([running])
            raise

    def _run(self, key: str) -> Json:
        try:
            return self._runner.run(key)
        except Cancelled:
            raise ApplicationError("cancelled", type="Cancelled", non_retryable=True) from None
        except HandedBack:
            raise ApplicationError("handed back", type="HandedBack") from None
        except Exception as error:  # noqa: BLE001 - the boundary of a segment: whatever its body raised is told
            raise ApplicationError(reason(error), type="Failed", non_retryable=True) from None

    async def _cancel(self, key: str) -> None:
        try:
            await self._client.get_workflow_handle(key).cancel()
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise

    async def _statuses(self, keys: Sequence[str]) -> Sequence[SegmentStatus]:
        return await asyncio.gather(*(self._status(key) for key in keys))

    async def _status(self, key: str) -> SegmentStatus:
        handle = self._client.get_workflow_handle(key)
        try:
            told = (await handle.describe()).status
        except RPCError as error:
            if error.status == RPCStatusCode.NOT_FOUND:
                return SegmentStatus(key, "unknown")
            raise
        state = _STATES.get(told, "failed") if told is not None else "unknown"
        if state in ("running", "unknown", "cancelled"):
            return SegmentStatus(key, state)
        try:
            return SegmentStatus(key, "done", result=await handle.result())
        except WorkflowFailureError as failure:
            cause = failure.cause.cause if isinstance(failure.cause, ActivityError) else failure.cause
            if isinstance(cause, CancelledError) or getattr(cause, "type", "") == "Cancelled":
                return SegmentStatus(key, "cancelled")
            return SegmentStatus(key, "failed", error=getattr(cause, "message", "") or type(cause).__name__)

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        with _told():
            return asyncio.run_coroutine_threadsafe(work, self._loop).result(_LIMIT_S)

    def _shut(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_LIMIT_S)
        self._loop.close()
        self._threads.shutdown(wait=False)
        self._journal.close()


@contextmanager
def _told() -> Iterator[None]:
    """Makes an EngineError of what the library says."""
    try:
        yield
    except WorkflowAlreadyStartedError:
        raise
    except (RPCError, RuntimeError, TimeoutError) as error:
        raise EngineError(f"The Temporal server can't do that: {error}.", "See that it runs.") from error
