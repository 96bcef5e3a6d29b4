"""A finished call as a span by OpenTelemetry's conventions for generative AI: numbers and names, never content.

Source: https://github.com/open-telemetry/semantic-conventions-genai/blob/main/docs/gen-ai/gen-ai-spans.md (read
2026-11-22); the conventions are still in development, so their names stand here and not in a library's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags, TraceState
from opentelemetry.trace.status import Status, StatusCode

from mohist.gateway.call import CallRecord, Principal
from mohist.gateway.route import Upstream
from mohist.gateway.trace import Trace

SCOPE: Final = InstrumentationScope("mohist.gateway")
_VENDORS: Final = {"anthropic-messages": "anthropic", "openai-chat": "openai", "openai-responses": "openai"}
_NS_PER_MS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Finished:
    """What a span is made of; small, since it waits in memory."""

    trace: Trace
    record: CallRecord
    principal: Principal | None
    upstream: Upstream | None
    """The one that answered, or the last that was tried."""
    stream: bool


def span_of(done: Finished, resource: Resource) -> ReadableSpan:
    """The span of one call."""
    record, trace = done.record, done.trace
    start_ns = record.started_at_ms * _NS_PER_MS
    error = _error_type(record)
    model = record.model_asked
    return ReadableSpan(
        name=f"chat {model}" if model else "chat",
        context=_context(trace, trace.span_id, remote=False),
        parent=_context(trace, trace.parent_id, remote=True) if trace.parent_id else None,
        resource=resource,
        attributes=_attributes(done, error),
        kind=SpanKind.CLIENT,
        status=Status(StatusCode.ERROR, error) if error else Status(),
        start_time=start_ns,
        end_time=start_ns + record.duration_ms * _NS_PER_MS,
        instrumentation_scope=SCOPE,
    )


def _attributes(done: Finished, error: str) -> dict[str, str | bool | int | float]:
    record, upstream, who, usage = done.record, done.upstream, done.principal, done.record.usage
    told: dict[str, str | bool | int | float | None] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": (upstream.provider if upstream else "") or _VENDORS[record.dialect],
        "gen_ai.request.model": record.model_asked,
        "gen_ai.response.model": record.model_served,
        "gen_ai.conversation.id": record.session_id,
        "error.type": error,
        "http.response.status_code": record.status,
        "mohist.call.id": record.call_id,
        "mohist.client": record.client,
        "mohist.upstream": record.upstream,
        "mohist.region": record.region,
        "mohist.attempts": record.attempts,
        "mohist.verdict": record.verdict,
        "mohist.rule": record.rule,
        "mohist.cost_usd": None if record.cost_microusd is None else record.cost_microusd / 1_000_000,
        "mohist.price_row": record.price_row,
        "mohist.unpriced": record.unpriced,
    }
    if done.stream:
        told["gen_ai.request.stream"] = True
        if record.first_byte_ms is not None:
            told["gen_ai.response.time_to_first_chunk"] = record.first_byte_ms / 1000
    if upstream is not None:
        parts = urlsplit(upstream.base_url)
        told["server.address"] = parts.hostname
        told["server.port"] = parts.port or (443 if parts.scheme == "https" else 80)
    if usage is not None:
        # The convention counts what came from a cache or went into one as input, too.
        told["gen_ai.usage.input_tokens"] = usage.prompt_tokens
        told["gen_ai.usage.cache_read.input_tokens"] = usage.cache_read_tokens
        told["gen_ai.usage.cache_creation.input_tokens"] = usage.cache_write_tokens
        told["gen_ai.usage.output_tokens"] = usage.output_tokens
    if record.dialect != "anthropic-messages":
        told["openai.response.service_tier"] = record.service_tier
    if who is not None:
        told |= {
            "user.id": who.user,
            "mohist.key.id": who.key_id,
            "mohist.project": who.project,
            "mohist.team": who.team,
        }
    return {name: value for name, value in told.items() if value is not None and value != ""}


def _error_type(record: CallRecord) -> str:
    if record.verdict != "allowed":
        return record.verdict
    if record.cancelled:
        return "cancelled"
    return str(record.status) if record.status >= 400 else ""


def _context(trace: Trace, span_id: str, *, remote: bool) -> SpanContext:
    state = TraceState.from_header([trace.state]) if trace.state else None
    return SpanContext(int(trace.trace_id, 16), int(span_id, 16), remote, TraceFlags(TraceFlags.SAMPLED), state)
