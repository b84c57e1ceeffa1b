"""What this engine hasn't got, in the words by which docker's clients know what to do."""

from moby.errors import NotFound, Unavailable, Unsupported
from moby_frontend.docker.call import Call, Reply, reply_json
from moby_frontend.docker.parts import Parts

__all__ = ["experimental", "no_plugins", "plugin", "plugins", "volume_update"]


def experimental(parts: Parts, call: Call) -> Reply:
    """Refuse what docker has for experiments alone."""
    raise Unsupported(
        "This experimental feature is disabled by default. Start the Docker daemon in experimental mode in order to "
        "enable it."
    )


def plugins(parts: Parts, call: Call) -> Reply:
    """List no plugins."""
    return reply_json([])


def plugin(parts: Parts, call: Call) -> Reply:
    """Find no plugin."""
    raise NotFound(f'plugin "{call.names["name"]}" not found')


def no_plugins(parts: Parts, call: Call) -> Reply:
    """Refuse to get plugins."""
    raise Unsupported("this engine has no managed plugins; its parts are chosen when it is assembled")


def volume_update(parts: Parts, call: Call) -> Reply:
    """Say what dockerd says of a volume that is no swarm's."""
    parts.volumes.get(call.names["name"])
    raise Unavailable("volume update only valid for cluster volumes, but swarm is unavailable")
