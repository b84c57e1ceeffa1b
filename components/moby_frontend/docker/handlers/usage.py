"""What everything takes on disk (`docker system df`)."""

from typing import Any

from moby.errors import Invalid
from moby_frontend.docker.call import Call, Reply, reply_json
from moby_frontend.docker.handlers.cache import show_entry
from moby_frontend.docker.handlers.images import show_summary as show_image
from moby_frontend.docker.handlers.listing import image_names, show_summary
from moby_frontend.docker.handlers.volumes import show_volume
from moby_frontend.docker.parts import Parts

__all__ = ["df"]

_TYPES = ("container", "image", "volume", "build-cache")


def df(parts: Parts, call: Call) -> Reply:
    """Show it."""
    types = call.query.texts("type") if call.version >= (1, 42) else ()
    for each in types:
        if each not in _TYPES:
            raise Invalid(f"unknown object type: {each}")
    wanted = set(types or _TYPES)
    images = _images(parts, call) if "image" in wanted else None
    cache = [show_entry(each) for each in parts.builder.usage()] if parts.builder and "build-cache" in wanted else []
    return reply_json({
        "LayersSize": parts.images.layers_bytes() if "image" in wanted else 0,
        "Images": images,
        "Containers": _containers(parts, call) if "container" in wanted else None,
        "Volumes": _volumes(parts) if "volume" in wanted else None,
        "BuildCache": cache if "build-cache" in wanted else None,
        **({"BuilderSize": sum(each["Size"] for each in cache)} if call.version < (1, 42) else {}),
    })  # fmt: skip


def _images(parts: Parts, call: Call) -> list[dict[str, Any]]:
    return [
        show_image(each.image, call.version, containers=len(each.containers), shared=each.shared_bytes)
        for each in parts.images.usage()
    ]


def _containers(parts: Parts, call: Call) -> list[dict[str, Any]]:
    now, name = parts.clock.now_ns(), image_names(parts)
    found = []
    for each in parts.containers.list():
        sizes = parts.containers.sizes(each.id)
        shown = show_summary(each, name(each), call.version, now)
        found.append(shown | {"SizeRw": sizes.own_bytes, "SizeRootFs": sizes.root_bytes})
    return found


def _volumes(parts: Parts) -> list[dict[str, Any]]:
    """Return volumes but those that are elsewhere, as by options of their driver: nobody knows what they take."""
    sized = ((each, parts.volumes.size_bytes(each.name)) for each in parts.volumes.list())
    return [
        show_volume(each) | {"UsageData": {"RefCount": len(each.users), "Size": size}}
        for each, size in sized
        if size >= 0
    ]
