"""Clients' calls as spans (OpenTelemetry semantic conventions, HTTP server spans)."""

from collections.abc import Callable

from moby.contracts.tracer import Origin, SpanKind, Tracer
from moby.errors import MobyError
from moby_frontend.docker.call import Call, Reply
from moby_frontend.docker.failures import message, status_of
from moby_frontend.docker.routes import Route

__all__ = ["within"]

_UPGRADED = 101


def within(tracer: Tracer, route: Route, call: Call, answer: Callable[[], Reply | None]) -> Reply | None:
    """Answer a call within a span, which goes on with the client's trace; a client's own fault is no failure."""
    refused: MobyError | OSError
    with tracer.span(f"{route.method} {route.pattern}", kind=SpanKind.SERVER, origin=_origin(call)) as span:
        try:
            reply = answer()
            span.note(http__response__status_code=reply.status if reply is not None else _UPGRADED)
            return reply
        except (MobyError, OSError) as error:
            status = status_of(error)
            span.note(http__response__status_code=status, error__type=type(error).__name__)
            if status >= 500:
                span.fail(message(error))
            refused = error
    raise refused


def _origin(call: Call) -> Origin:
    attributes = {
        "http.request.method": call.method, "url.path": call.path, "client.address": str(call.client),
        "user_agent.original": call.headers.get("user-agent", ""),
    }  # fmt: skip
    return Origin(call.headers.get("traceparent", ""), call.headers.get("tracestate", ""), attributes)
