"""What a call that goes on tells, as docker's streams of messages have it."""

from typing import Any

from moby.contracts.images import Progress
from moby.host.progress_lines import bar
from moby_frontend.docker.call import encode
from moby_frontend.docker.failures import message

__all__ = ["line", "shown_error", "shown_progress"]


def line(value: Any) -> bytes:
    """Return one message of a progress stream."""
    return encode(value) + b"\r\n"


def shown_progress(progress: Progress) -> dict[str, Any]:
    """Return a message of progress."""
    if progress.text:
        return {"stream": f"{progress.text}\n"}
    if progress.final:
        return {"status": progress.status} | ({"id": progress.id} if progress.id else {})
    if progress.sent:
        sent = progress.sent
        return {"progressDetail": {}, "aux": {"Tag": sent.tag, "Digest": str(sent.digest), "Size": sent.size_bytes}}
    detail: dict[str, Any] = {"current": progress.current} if progress.current else {}
    detail |= {"total": progress.total} if progress.total else {}
    shown: dict[str, Any] = {"status": progress.status, "progressDetail": detail}
    if detail:
        shown["progress"] = bar(progress.current, progress.total)
    return shown | ({"id": progress.id} if progress.id else {})


def shown_error(error: Exception) -> dict[str, Any]:
    """Return a message of failure."""
    return {"errorDetail": {"message": message(error)}, "error": message(error)}
