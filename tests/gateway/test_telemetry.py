"""Traces as a collector gets them, and what becomes of calls when there is none."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Sequence
from typing import Any

import anyio
import pytest
from gateway_call import record
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

from fakes.gateway import at, gateway
from fakes.upstream import Received, Reply, Upstream, chat_wire, error_reply
from mohist.gateway.route import Route
from mohist.gateway.tally import Call
from mohist.gateway.telemetry import BATCH, MAX_WAITING, Tracing, otlp_exporter
from mohist.gateway.trace import Trace

TRACE, SPAN = "a" * 32, "b" * 16
SECRET_WORDS = "the content of nobody's business"
TAKEN = Reply(b"", content_type="application/x-protobuf")


class Refusing:
    """A collector's end that fails in one way or another."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.fault = fault
        self.seen = 0
        self.down = False

    def export(self, spans: Sequence[ReadableSpan], /) -> SpanExportResult:
        self.seen += len(spans)
        if self.fault is not None:
            raise self.fault
        return SpanExportResult.FAILURE

    def shutdown(self) -> None:
        self.down = True


def spans_of(requests: list[Received]) -> list[dict[str, Any]]:
    found = []
    for request in requests:
        body = gzip.decompress(request.body) if request.headers.get("content-encoding") == "gzip" else request.body
        message = ExportTraceServiceRequest.FromString(body)
        for resource in message.resource_spans:
            about = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
            for span in (span for scope in resource.scope_spans for span in scope.spans):
                told = {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in span.attributes}
                found.append({"span": span, "attributes": told, "resource": about})
    return found


def a_call(number: int) -> Call:
    call = Call(f"call-{number}", "openai-chat", 0, 0.0, free=False)
    call.trace = Trace(TRACE, f"{number + 1:016x}")
    return call


@pytest.mark.enable_socket
async def test_a_collector_gets_one_span_for_a_call_with_what_it_was_and_none_of_its_words() -> None:
    body = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"' + SECRET_WORDS.encode() + b'"}]}'
    async with Upstream([Reply(chat_wire(SECRET_WORDS))]) as model, Upstream([TAKEN] * 9) as collector:
        tracing = Tracing(otlp_exporter(collector.url), "1.2.3")
        tracing.start()
        route = Route("m", (at(model.url, provider="openai", region="eu"),))
        async with gateway([route], observers=[tracing]) as gate:
            headers = [("traceparent", f"00-{TRACE}-{SPAN}-01"), ("tracestate", "x=1")]
            answered = await gate.post("/v1/chat/completions", body, headers)
            assert answered.status == 200
            await gate.keeper.recorded()
        await anyio.to_thread.run_sync(tracing.stop, 20.0)
        (seen,) = spans_of(collector.requests)
        assert collector.requests[0].path == "/v1/traces"
        assert all(
            word.encode() not in request.body for request in collector.requests for word in SECRET_WORDS.split()[1:2]
        )
    span, told = seen["span"], seen["attributes"]
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, SPAN)
    assert span.trace_state == "x=1"
    assert (span.name, span.kind) == ("chat m", span.SPAN_KIND_CLIENT)
    assert span.end_time_unix_nano >= span.start_time_unix_nano > 0
    assert seen["resource"]["service.name"] == "mohist-gateway"
    assert seen["resource"]["service.version"] == "1.2.3"
    assert told["gen_ai.operation.name"] == "chat"
    assert told["gen_ai.provider.name"] == "openai"
    assert told["gen_ai.request.model"] == "m"
    assert told["gen_ai.request.stream"] is True
    assert told["gen_ai.response.model"]
    assert told["gen_ai.usage.input_tokens"] > 0
    assert told["gen_ai.usage.output_tokens"] > 0
    assert told["server.address"] == "127.0.0.1"
    assert told["server.port"] == int(model.url.rpartition(":")[2])
    assert told["mohist.region"] == "eu"
    assert told["mohist.cost_usd"] > 0
    assert "error.type" not in told
    passed_on = model.requests[0].headers
    assert passed_on["traceparent"] == f"00-{TRACE}-{span.span_id.hex()}-01"
    assert passed_on["tracestate"] == "x=1"


@pytest.mark.enable_socket
async def test_a_call_that_fails_says_by_which_kind_of_error() -> None:
    async with Upstream([error_reply(400, "x", "y")]) as model, Upstream([TAKEN] * 9) as collector:
        tracing = Tracing(otlp_exporter(f"{collector.url}/v1/traces"), "1")
        tracing.start()
        async with gateway([Route("m", (at(model.url),))], observers=[tracing]) as gate:
            await gate.post("/v1/chat/completions", b'{"model":"m"}')
            await gate.post("/v1/chat/completions", b'{"model":"m"}', key="wrong")
            await gate.keeper.recorded(2)
        await anyio.to_thread.run_sync(tracing.stop, 20.0)
        failed, refused = spans_of(collector.requests)
    assert failed["attributes"]["error.type"] == "400"
    assert failed["span"].status.code == failed["span"].status.STATUS_CODE_ERROR
    assert refused["attributes"]["error.type"] == "auth"
    assert refused["attributes"]["gen_ai.provider.name"] == "openai"
    assert "user.id" not in refused["attributes"]


@pytest.mark.enable_socket
async def test_without_traces_a_caller_s_trace_goes_through_untouched() -> None:
    async with Upstream([Reply(chat_wire("hi"))]) as model:
        async with gateway([Route("m", (at(model.url),))]) as gate:
            headers = [("traceparent", f"00-{TRACE}-{SPAN}-01")]
            await gate.post("/v1/chat/completions", b'{"model":"m","stream":true}', headers)
        assert model.requests[0].headers["traceparent"] == f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize("fault", [None, OSError("gone")])
def test_a_dead_collector_costs_spans_and_nothing_else(fault: Exception | None) -> None:
    exporter = Refusing(fault)
    tracing = Tracing(exporter, "1", every_s=0.01)
    tracing.start()
    for number in range(3 * BATCH):
        tracing.ended(a_call(number), record())
    tracing.stop(20.0)
    assert exporter.down
    assert tracing.dropped == exporter.seen > 0


def test_spans_that_wait_fill_no_memory() -> None:
    tracing = Tracing(Refusing(), "1")
    for number in range(MAX_WAITING + 5):
        tracing.ended(a_call(number), record())
    assert tracing.dropped == 5
    tracing.stop()


def test_a_collector_that_hangs_does_not_hold_up_the_end() -> None:
    release = threading.Event()

    class Hanging(Refusing):
        def export(self, spans: Sequence[ReadableSpan], /) -> SpanExportResult:
            release.wait()
            return SpanExportResult.FAILURE

    exporter = Hanging()
    tracing = Tracing(exporter, "1", every_s=0.01)
    tracing.start()
    tracing.ended(a_call(1), record())
    tracing.stop(0.1)
    assert exporter.down
    release.set()


def test_counting_tokens_is_no_call_of_a_model() -> None:
    call = Call("call-1", "anthropic-messages", 0, 0.0, free=True)
    Tracing(Refusing(), "1").began(call, [])
    assert call.trace is None
