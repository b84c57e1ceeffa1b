"""The options by which a command makes and restores checkpoints."""

from moby.contracts.runtime import CheckpointOptions

__all__ = ["flags"]


def flags(options: CheckpointOptions) -> tuple[str, ...]:
    """Return the words for what an image may hold."""
    wanted = {
        "--tcp-established": options.tcp_established,
        "--ext-unix-sk": options.external_unix_sockets,
        "--file-locks": options.file_locks,
    }
    return tuple(word for word, on in wanted.items() if on)
