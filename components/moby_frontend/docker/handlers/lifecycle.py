"""A container's life: create, start, stop and what else changes it."""

from moby.contracts.containers import Container, Status
from moby.contracts.images import Image
from moby.contracts.types import Platform, Window
from moby.errors import Conflict, Invalid, MobyError, NotFound, Unsupported
from moby_frontend.docker import failures
from moby_frontend.docker.call import Call, Reply, empty, reply_json
from moby_frontend.docker.filters import Filters
from moby_frontend.docker.handlers.pruned import tell_pruned
from moby_frontend.docker.parts import Parts
from moby_frontend.docker.times import parsed_ns
from moby_frontend.docker.translate.images import platform_of, reference_of

__all__ = [
    "commit", "create", "kill", "pause", "prune", "remove", "rename", "resize", "restart", "start", "stop", "unpause",
    "update",
]  # fmt: skip

_LEAST_BODY = 7
"""So many bytes `start` took no notice of when it had a body."""


def create(parts: Parts, call: Call) -> Reply:
    """Make a container."""
    from moby_frontend.docker.translate.config import read_create

    config = read_create(call.json(required=True), call.version, call.query.text("platform"))
    if wanted := platform_of(call):
        _check_platform(parts.images.get(config.image), config.image, wanted)
    try:
        made = parts.containers.create(config, call.query.text("name").removeprefix("/"))
    except NotFound as error:
        # Docker's clients pull the image after a 404, and try again: only of the image it may be told.
        parts.images.get(config.image)
        raise Invalid(error.message, hint=error.hint) from error
    return reply_json({"Id": made.id, "Warnings": list(made.warnings)}, 201)


def _check_platform(image: Image, name: str, wanted: Platform) -> None:
    """Refuse an image that was made for something else: NotFound, after which docker's clients pull the right one."""
    has = image.platform
    same = (has.os, has.architecture) == (wanted.os, wanted.architecture)
    if not same or (wanted.variant and has.variant and wanted.variant != has.variant):
        raise NotFound(
            f"image with reference {name} was found but does not match the specified platform: "
            f"wanted {wanted}, actual: {has}"
        )


def start(parts: Parts, call: Call) -> Reply:
    """Run it."""
    if len(call.bytes()) > _LEAST_BODY:
        raise Invalid(
            "starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24"
        )
    return empty(204 if parts.containers.start(call.names["name"]) else 304)


def _timeout(call: Call) -> int | None:
    return call.query.number("t") if call.query.text("t") else None


def _signal(call: Call) -> str:
    return call.query.text("signal") if call.version >= (1, 42) else ""


def stop(parts: Parts, call: Call) -> Reply:
    """End it."""
    done = parts.containers.stop(call.names["name"], timeout_s=_timeout(call), signal=_signal(call))
    return empty(204 if done else 304)


def restart(parts: Parts, call: Call) -> Reply:
    """Stop and start it."""
    parts.containers.restart(call.names["name"], timeout_s=_timeout(call), signal=_signal(call))
    return empty()


def kill(parts: Parts, call: Call) -> Reply:
    """Send a signal."""
    name = call.names["name"]
    try:
        parts.containers.kill(name, call.query.text("signal") or "KILL")
    except (Conflict, Invalid, NotFound) as error:
        start = f"cannot kill container: {name}: "
        text = failures.message(error)
        raise type(error)(text if text.startswith("cannot kill") else start + text) from error
    return empty()


def pause(parts: Parts, call: Call) -> Reply:
    """Freeze it."""
    parts.containers.pause(call.names["name"])
    return empty()


def unpause(parts: Parts, call: Call) -> Reply:
    """Thaw it; one that isn't paused is, with docker, an error of the server's."""
    try:
        parts.containers.unpause(call.names["name"])
    except Conflict as error:
        raise failures.Status(500, failures.message(error)) from error
    return empty()


def rename(parts: Parts, call: Call) -> Reply:
    """Give it another name."""
    new = call.query.text("name").removeprefix("/")
    if not new:
        raise Invalid("Neither old nor new names may be empty")
    parts.containers.rename(call.names["name"], new)
    return empty()


def update(parts: Parts, call: Call) -> Reply:
    """Change its limits."""
    from moby_frontend.docker.translate.limits import read_update

    warnings = parts.containers.update(call.names["name"], read_update(call.json(required=True)))
    return reply_json({"Warnings": list(warnings) or None})


def window(call: Call) -> Window:
    """Return the size of a terminal, of the query."""
    for each in ("h", "w"):
        if not call.query.text(each):
            raise Invalid('strconv.Atoi: parsing "": invalid syntax')
    height, width = call.query.number("h"), call.query.number("w")
    if not (0 <= height < 65536 and 0 <= width < 65536):
        raise Invalid(f"no terminal is {height} high and {width} wide")
    return Window(height, width)


def resize(parts: Parts, call: Call) -> Reply:
    """Tell its terminal the size."""
    size = window(call)
    try:
        parts.containers.resize(call.names["name"], size)
    except Conflict:
        container = parts.containers.get(call.names["name"])
        if container.state.status in {Status.RUNNING, Status.PAUSED}:
            return empty(200)  # it has no terminal, which docker passes over
        raise
    return empty(200)


def remove(parts: Parts, call: Call) -> Reply:
    """Remove it."""
    name = call.names["name"]
    if call.query.flag("link"):
        raise _link_stays(parts, name.removeprefix("/"))
    parts.containers.remove(name, force=call.query.flag("force"), volumes=call.query.flag("v"))
    return empty()


def _link_stays(parts: Parts, name: str) -> MobyError:
    """Return why a link, `web/db`, isn't removed: it is there as long as what was created with it."""
    from moby_frontend.docker.translate.network import show_links

    owner, slash, _ = name.partition("/")
    container = parts.containers.get(owner)
    if not slash:
        return failures.Status(500, "Conflict, cannot remove the default link name of the container")
    if f"/{name}" not in [each.partition(":")[2] for each in show_links(container) or ()]:
        return NotFound(f"No such container: {name}")
    return Unsupported(
        f"link /{name} can't be removed by itself: a container keeps the links that it was created with",
        hint=f"remove {owner}, and create it without --link; or put both on a network of your own",
    )


def prune(parts: Parts, call: Call) -> Reply:
    """Remove all that don't run."""
    wanted = Filters(call.query.text("filters"), {"label", "label!", "until"})
    until = wanted.time_ns("until", parts.clock.now_ns())

    def chosen(container: Container) -> bool:
        labels = container.config.labels
        young = until is not None and parsed_ns(container.created) > until
        return wanted.labels(labels) and wanted.no_label(labels) and not young

    ids, size = parts.containers.prune(chosen)
    tell_pruned(parts, "container", size)
    return reply_json({"ContainersDeleted": list(ids) or None, "SpaceReclaimed": size})


def commit(parts: Parts, call: Call) -> Reply:
    """Make an image of it."""
    from moby_frontend.docker.translate.config import read_commit

    query = call.query
    config = read_commit(call.json())
    name = query.text("container")
    if not name:
        raise Invalid('invalid name or ID supplied: ""')
    reference = reference_of(query.text("repo"), query.text("tag"))
    made = parts.containers.commit(
        name,
        reference,
        message=query.text("comment"),
        author=query.text("author"),
        changes=query.texts("changes"),
        pause=query.flag("pause", default=True),
        config=config or None,
    )
    return reply_json({"Id": made}, 201)
