"""What this engine hasn't got, in the words by which docker's clients know what to do."""

from moby.errors import Invalid, NotFound, Unavailable, Unsupported
from moby_frontend.docker.call import Call, Reply, reply_json, stream
from moby_frontend.docker.failures import Status
from moby_frontend.docker.parts import Parts

__all__ = [
    "build", "build_cancel", "build_prune", "distribution", "experimental", "grpc", "no_part", "no_plugins", "no_swarm",
    "plugin", "plugins", "pull", "push", "search", "session", "swarm", "volume_update",
]  # fmt: skip

_NO_REGISTRY = (
    "this engine has no image registry's client: it can't {what}; bring images with docker load or docker import, or "
    "assemble an engine that has an image-registry part"
)


def pull(parts: Parts, call: Call) -> Reply:
    """Say in the progress stream what is missing."""
    from moby_frontend.docker.handlers.images import line, shown_error
    from moby_frontend.docker.handlers.lifecycle import reference_of

    name = reference_of(call.query.text("fromImage"), call.query.text("tag"))
    error = Unsupported(_NO_REGISTRY.format(what=f"pull {name}"))
    return stream(iter([line(shown_error(error))]), "application/json")


def push(parts: Parts, call: Call) -> Reply:
    """Say in the progress stream what is missing."""
    from moby_frontend.docker.handlers.images import line, shown_error

    parts.images.get(call.names["name"])
    error = Unsupported(_NO_REGISTRY.format(what=f"push {call.names['name']}"))
    return stream(iter([line(shown_error(error))]), "application/json")


def search(parts: Parts, call: Call) -> Reply:
    """Refuse to search."""
    raise Unsupported(_NO_REGISTRY.format(what="search"))


def distribution(parts: Parts, call: Call) -> Reply:
    """Refuse to ask an image registry."""
    raise Unsupported(_NO_REGISTRY.format(what=f"ask about {call.names['name']}"))


def build(parts: Parts, call: Call) -> Reply:
    """Refuse to build."""
    raise Unsupported("this engine has no builder; build elsewhere and bring the image with docker load")


def build_prune(parts: Parts, call: Call) -> Reply:
    """Remove nothing: there is no build cache."""
    return reply_json({"CachesDeleted": None, "SpaceReclaimed": 0})


def build_cancel(parts: Parts, call: Call) -> Reply:
    """End no build: there is none."""
    raise NotFound(f"no such build: {call.query.text('id')}")


def session(parts: Parts, call: Call) -> Reply:
    """Refuse a builder's session, so that clients do without."""
    if "upgrade" not in call.headers:
        raise Invalid("no upgrade proto in request")
    raise Status(404, "page not found")


def grpc(parts: Parts, call: Call) -> Reply:
    """Refuse a builder's calls."""
    raise Status(404, "page not found")


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


def swarm(parts: Parts, call: Call) -> Reply:
    """Say what dockerd says outside a swarm."""
    raise Unavailable(
        'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to '
        "swarm and try again."
    )


def no_part(parts: Parts, call: Call) -> Reply:
    """Say what dockerd says to who wants to leave no swarm."""
    raise Unavailable("This node is not part of a swarm")


def no_swarm(parts: Parts, call: Call) -> Reply:
    """Refuse to make a swarm."""
    raise Unavailable("this engine has no orchestrator, so it can't be part of a swarm")


def volume_update(parts: Parts, call: Call) -> Reply:
    """Say what dockerd says of a volume that is no swarm's."""
    parts.volumes.get(call.names["name"])
    raise Unavailable("volume update only valid for cluster volumes, but swarm is unavailable")
