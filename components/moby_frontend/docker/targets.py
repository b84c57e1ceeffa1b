"""What of a call's target may be shown to who reads the log."""

from urllib.parse import unquote_plus

from moby.errors import masked

__all__ = ["shown"]

_HARMLESS = frozenset((
    "all", "condition", "container", "details", "detachKeys", "digests", "dockerfile", "follow", "force", "forcerm",
    "fromImage", "h", "id", "identity", "limit", "link", "logs", "manifests", "name", "names", "nocache",
    "noOverwriteDirNonDir", "noprune", "one-shot", "path", "platform", "pull", "q", "quiet", "repo", "rm",
    "shared-size", "signal", "since", "size", "stderr", "stdin", "stdout", "stream", "t", "tag", "tail", "term",
    "timestamps", "type", "until", "v", "verbose", "version", "w",
))  # fmt: skip
"""Parameters whose values are told; those of others, as of `buildargs`, may be secret."""


def shown(target: str) -> str:
    """Return a target without what may be secret: values of parameters that aren't known to be harmless."""
    path, mark, query = target.partition("?")
    return masked(path) + mark + "&".join(map(_shown, query.split("&"))) if mark else masked(path)


def _shown(parameter: str) -> str:
    name, equals, value = parameter.partition("=")
    plain = unquote_plus(value)
    harmless = name in _HARMLESS and masked(plain) == plain
    return parameter if harmless or not value else f"{name}{equals}..."
