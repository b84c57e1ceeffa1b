"""Which request a thread is at work on, so that what is logged meanwhile can be told apart."""

from contextvars import ContextVar

__all__ = ["REQUEST"]

REQUEST: ContextVar[str] = ContextVar("request", default="")
"""An id of one call of a client; none outside of calls. The engine's log writes it with each line of that thread."""
