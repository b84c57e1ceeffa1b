"""Spans as OTLP 1.x says them in JSON (ExportTraceServiceRequest): ids in hex, numbers of 64 bits as text."""

from collections.abc import Iterable, Mapping
from typing import Any

from moby.contracts.tracer import Attribute
from moby_tracer.otlp.spans import Ended

__all__ = ["request"]

_ERROR = 2
"""STATUS_CODE_ERROR."""
_FLAGS_SAMPLED = 1
SCOPE = "moby"


def request(resource: Mapping[str, Attribute], spans: Iterable[Ended], dropped: int) -> dict[str, Any]:
    """Return the body of an export."""
    more = {"moby.dropped_spans": dropped} if dropped else {}
    return {
        "resourceSpans": [{
            "resource": {"attributes": _attributes({**resource, **more})},
            "scopeSpans": [{"scope": {"name": SCOPE}, "spans": [_span(each) for each in spans]}],
        }]
    }  # fmt: skip


def _span(span: Ended) -> dict[str, Any]:
    found: dict[str, Any] = {
        "traceId": span.trace, "spanId": span.id, "name": span.name, "kind": span.kind, "flags": _FLAGS_SAMPLED,
        "startTimeUnixNano": str(span.start_ns), "endTimeUnixNano": str(span.end_ns),
        "attributes": _attributes(span.attributes),
    }  # fmt: skip
    if span.parent:
        found["parentSpanId"] = span.parent
    if span.state:
        found["traceState"] = span.state
    if span.failed:
        found["status"] = {"code": _ERROR, "message": span.message}
    return found


def _attributes(values: Mapping[str, Attribute]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in values.items()]


def _value(value: Attribute) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    return {"doubleValue": value} if isinstance(value, float) else {"stringValue": value}
