"""Traces on their way to a collector: one thread that makes spans of finished calls and sends them in batches.

The path of a call appends to a queue and no more. A collector that is slow, broken or gone costs spans, never a call:
the queue is bounded, and what finds it full is dropped and counted.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Sequence
from typing import Final, Protocol

from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

from mohist.gateway.call import CallRecord
from mohist.gateway.request import Headers
from mohist.gateway.span import Finished, span_of
from mohist.gateway.tally import Call
from mohist.gateway.trace import trace_of

MAX_WAITING: Final = 8_192
BATCH: Final = 512
EVERY_S: Final = 1.0
STOP_S: Final = 3.0
"""How long a stopping server waits for the last spans to be taken."""
_EXPORT_S: Final = 10.0

_log = logging.getLogger(__name__)


class Exporter(Protocol):
    """Sends spans; blocks."""

    def export(self, spans: Sequence[ReadableSpan], /) -> SpanExportResult: ...

    def shutdown(self) -> None:
        """Ends an export under way."""
        ...


class Tracing:
    """An observer that sends a span for each call.

    Order of use: construct, `start`, calls…, `stop`.
    """

    def __init__(self, exporter: Exporter, version: str, *, every_s: float = EVERY_S) -> None:
        """Starts nothing yet.

        Args:
            exporter: where spans go.
            version: of this program.
            every_s: how long spans are gathered.
        """
        self._exporter = exporter
        own = Resource({"service.name": "mohist-gateway", "service.version": version})
        self._resource = own.merge(OTELResourceDetector().detect())  # OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES
        self._every_s = every_s
        self._queue: deque[Finished] = deque()
        self._poke = threading.Event()
        self._stopping = False
        self._failing = False
        self._thread = threading.Thread(target=self._run, name="mohist-traces", daemon=True)
        self.dropped = 0
        """Calls whose span was lost: the queue was full or the collector did not take it."""

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float = STOP_S) -> None:
        """Sends what waits, for at most `timeout_s`."""
        self._stopping = True
        self._poke.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        self._exporter.shutdown()

    def began(self, call: Call, headers: Headers) -> None:
        """Gives the call its place in the caller's trace; counting tokens is no call of a model."""
        if not call.free:
            call.trace = trace_of(headers)

    def ended(self, call: Call, record: CallRecord) -> None:
        """Puts the call on its way."""
        if call.trace is None:
            return
        if len(self._queue) >= MAX_WAITING:
            self.dropped += 1
            return
        upstream = call.answer.upstream if call.answer else (call.upstreams[-1] if call.upstreams else None)
        stream = call.envelope is not None and call.envelope.stream
        self._queue.append(Finished(call.trace, record, call.principal, upstream, stream))
        if len(self._queue) == BATCH:
            self._poke.set()

    def _run(self) -> None:
        while not self._stopping:
            self._poke.wait(self._every_s)
            self._poke.clear()
            while self._queue and self._send():
                pass
        while self._queue and self._send():
            pass

    def _send(self) -> bool:
        """Sends one batch; False when the collector did not take it."""
        done = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
        try:
            taken = self._exporter.export([span_of(one, self._resource) for one in done]) is SpanExportResult.SUCCESS
        except Exception as error:  # noqa: BLE001 - the thread's boundary: a fault of the exporter costs its spans alone
            _log.warning("traces can't be sent: %s", type(error).__name__)
            taken = False
        if not taken:
            self.dropped += len(done)
        if taken == self._failing:
            self._failing = not taken
            _log.warning("the collector takes traces again" if taken else "the collector does not take traces")
        return taken


def otlp_exporter(endpoint: str) -> Exporter:
    """An exporter that speaks OTLP over HTTP.

    Args:
        endpoint: base URL of the collector, or the whole one of its traces; empty: what `OTEL_EXPORTER_OTLP_ENDPOINT`
            and its kin say. Headers and certificates come from those variables in any case.
    """
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    # It would say the same of every batch; Tracing says it once.
    logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)
    whole = endpoint if not endpoint or endpoint.endswith("/v1/traces") else f"{endpoint.rstrip('/')}/v1/traces"
    return OTLPSpanExporter(whole or None, timeout=_EXPORT_S)
