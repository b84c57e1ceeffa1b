"""Images: listed, shown, named, removed; archives in and out."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, BinaryIO

from moby.contracts.containers import Status
from moby.contracts.images import Image
from moby.errors import Invalid, MobyError
from moby.oci.reference import familiar, parse
from moby_frontend.docker.call import Call, Reply, Version, empty, reply_json, stream
from moby_frontend.docker.filters import Filters
from moby_frontend.docker.handlers.progress import line, shown_error, shown_progress
from moby_frontend.docker.handlers.pruned import tell_pruned
from moby_frontend.docker.parts import Parts
from moby_frontend.docker.times import ZERO, parsed_ns, rfc3339
from moby_frontend.docker.translate.images import platform_of, reference_of

__all__ = [
    "create", "history", "inspect", "listed", "load", "prune", "remove", "save", "show_image", "show_summary", "tag",
]  # fmt: skip

_LIST = frozenset({"dangling", "label", "before", "since", "reference", "until"})
_PRUNE = frozenset({"dangling", "label", "label!", "until"})
_UNKNOWN = -1
_IMAGE_ID = re.compile("[a-f0-9]{64}")


def listed(parts: Parts, call: Call) -> Reply:
    """List images, the newest first."""
    query = call.query
    filters = Filters(query.text("filters"), _LIST)
    if "dangling" in filters:
        filters.flag("dangling", default=False)
    wanted = dict(filters.as_mapping())
    if call.version < (1, 25) and query.text("filter"):
        wanted.setdefault("reference", (query.text("filter"),))
    found = parts.images.list(wanted, all=query.flag("all"))
    counts = _counts(parts) if call.version >= (1, 51) else None
    shared = query.flag("shared-size") and call.version >= (1, 42)
    usage = {each.image.id: each.shared_bytes for each in parts.images.usage()} if shared else {}
    shown = [
        show_summary(
            each,
            call.version,
            containers=_UNKNOWN if counts is None else counts.get(str(each.id), 0),
            shared=usage.get(each.id, _UNKNOWN),
        )
        for each in found
    ]
    shown.sort(key=lambda each: -each["Created"])
    return reply_json(shown)


def _counts(parts: Parts) -> dict[str, int]:
    found: dict[str, int] = {}
    for _, image in parts.containers.used_images():
        found[image] = found.get(image, 0) + 1
    return found


def show_summary(image: Image, version: Version, *, containers: int, shared: int) -> dict[str, Any]:
    """Return an image as a list shows it."""
    tags = [familiar(each) for each in image.references]
    digests = [familiar(each) for each in image.digests]
    if version < (1, 43) and not tags:
        tags, digests = ["<none>:<none>"], digests or ["<none>@<none>"]
    shown: dict[str, Any] = {
        "Containers": containers,
        "Created": parsed_ns(image.created) // 10**9,
        "Id": str(image.id),
        "Labels": dict(image.config.labels) or None,
        "ParentId": str(image.parent or ""),
        "RepoDigests": digests,
        "RepoTags": tags,
        "SharedSize": shared,
        "Size": image.size_bytes,
    }
    return shown | ({"VirtualSize": image.size_bytes} if version < (1, 44) else {})


def inspect(parts: Parts, call: Call) -> Reply:
    """Show an image."""
    image = parts.images.get(_asked(call.names["name"]))
    shown = show_image(image, call.version, parts.storage_driver)
    with suppress(MobyError):  # it is going, or a layer of it is lost, which whoever uses it is told
        shown["GraphDriver"]["Data"] = dict(parts.images.storage_details(str(image.id)))
    return reply_json(shown)


def _asked(name: str) -> str:
    """Return the name of an image that a call asks for; Invalid, in docker's words, for what can be none."""
    if _IMAGE_ID.fullmatch(name):
        return name
    try:
        parse(name)
    except Invalid:
        lower = "" if name == name.lower() else _repository(name)
        why = f": repository name ({lower}) must be lowercase" if lower else ""
        raise Invalid(f"invalid reference format{why}") from None
    return name


def _repository(name: str) -> str:
    """Return the path that a name would have, were it lower case; empty where it is wrong in other ways too."""
    try:
        path = parse(name.lower(), default_tag=False).path
    except Invalid:
        return ""
    bare = name.partition("@")[0]
    above, colon, tag = bare.rpartition(":")
    bare = above if colon and "/" not in tag else bare
    return f"library/{bare}" if path == f"library/{bare.lower()}" else bare[-len(path) :]


def _last_comment(image: Image) -> str:
    """Return what was said of an image's last step, where nothing is of the image itself."""
    history: Sequence[Mapping[str, Any]] = image.raw_config.get("history") or ({},)
    return str(history[-1].get("comment", ""))


def show_image(image: Image, version: Version, driver: str) -> dict[str, Any]:
    """Return all that inspect shows."""
    shown: dict[str, Any] = {
        "Id": str(image.id),
        "RepoTags": [familiar(each) for each in image.references],
        "RepoDigests": [familiar(each) for each in image.digests],
        "Parent": str(image.parent or ""),
        "Comment": image.comment or _last_comment(image),
        **({"Created": image.created or ZERO} if image.created or version < (1, 44) else {}),
        "DockerVersion": image.docker_version,
        "Author": image.author,
        "Config": _config(image, version),
        "Architecture": image.platform.architecture,
        **({"Variant": image.platform.variant} if image.platform.variant else {}),
        "Os": image.platform.os,
        **({"OsVersion": image.raw_config["os.version"]} if image.raw_config.get("os.version") else {}),
        "Size": image.size_bytes,
        "GraphDriver": {"Data": {}, "Name": driver},
        "RootFS": {"Type": "layers", "Layers": [str(each) for each in image.layers]},
        "Metadata": {"LastTagTime": rfc3339(image.tagged_ns)},
    }
    if version < (1, 44):
        shown["VirtualSize"] = image.size_bytes
    if version < (1, 45):
        shown["Container"] = image.raw_config.get("container", "")
        shown["ContainerConfig"] = image.raw_config.get("container_config")
    return shown


def _config(image: Image, version: Version) -> dict[str, Any]:
    """Return an image's config; the fields of containers alone were in it before API 1.50."""
    config = image.config
    shown: dict[str, Any] = {
        "User": config.user,
        **({"ExposedPorts": {each: {} for each in config.exposed_ports}} if config.exposed_ports else {}),
        "Env": list(config.environment) or None,
        "Cmd": list(config.command) or None,
        **({"Healthcheck": dict(config.healthcheck)} if config.healthcheck else {}),
        **({"ArgsEscaped": True} if config.args_escaped else {}),
        "Volumes": {each: {} for each in config.volumes} or None,
        "WorkingDir": config.working_directory,
        "Entrypoint": list(config.entrypoint) or None,
        "OnBuild": list(config.on_build) or None,
        "Labels": dict(config.labels) or None,
        **({"StopSignal": config.stop_signal} if config.stop_signal else {}),
        **({"Shell": list(config.shell)} if config.shell else {}),
    }
    if version < (1, 50):
        raw = image.raw_config.get("config") or {}
        for name in ("Hostname", "Domainname", "Image"):
            shown[name] = str(raw.get(name, "")) if isinstance(raw, dict) else ""
        for name in ("AttachStdin", "AttachStdout", "AttachStderr", "Tty", "OpenStdin", "StdinOnce"):
            shown[name] = bool(raw.get(name)) if isinstance(raw, dict) else False
    return shown


def history(parts: Parts, call: Call) -> Reply:
    """Show the steps that an image was made by."""
    return reply_json([
        {
            "Id": str(each.id) if each.id else "<missing>",
            "Created": parsed_ns(each.created) // 10**9,
            "CreatedBy": each.created_by,
            "Tags": [familiar(name) for name in each.references] or None,
            "Size": each.size_bytes,
            "Comment": each.comment,
        }
        for each in parts.images.history(_asked(call.names["name"]))
    ])  # fmt: skip


def tag(parts: Parts, call: Call) -> Reply:
    """Give an image one more name."""
    reference = reference_of(call.query.text("repo"), call.query.text("tag"))
    if not reference:
        raise Invalid("invalid reference format")
    name = call.names["name"]
    found = parse(reference)
    if found.digest:
        raise Invalid("refusing to create a tag with a digest reference")
    parts.images.tag(name, found)
    return empty(201)


def remove(parts: Parts, call: Call) -> Reply:
    """Take a name away, and with the last the image."""
    query = call.query
    running = [
        each.id for each in parts.containers.list() if each.state.status in {Status.RUNNING, Status.PAUSED}
    ]  # fmt: skip
    name = _asked(call.names["name"])
    parts.containers.used_images()  # so that one whose container is gone isn't held by it still
    removals = parts.images.remove(
        name, force=query.flag("force"), prune=not query.flag("noprune"), running=running
    )  # fmt: skip
    return reply_json([{"Deleted" if each.deleted else "Untagged": each.name} for each in removals])


def prune(parts: Parts, call: Call) -> Reply:
    """Remove images that nobody uses."""
    filters = Filters(call.query.text("filters"), _PRUNE)
    if "dangling" in filters:
        filters.flag("dangling", default=True)
    filters.time_ns("until", parts.clock.now_ns())
    parts.containers.used_images()  # as above
    done = parts.images.prune(filters.as_mapping())
    tell_pruned(parts, "image", done.reclaimed_bytes)
    shown = [{"Deleted" if each.deleted else "Untagged": each.name} for each in done.removals]
    return reply_json({"ImagesDeleted": shown or None, "SpaceReclaimed": done.reclaimed_bytes})


# Archives -----------------------------------------------------------------------------------------------------------


def save(parts: Parts, call: Call) -> Reply:
    """Return an archive of images."""
    names = (call.names["name"],) if "name" in call.names else call.query.texts("names")
    if not names:
        raise Invalid("no images are named")
    platform_of(call)
    return Reply(200, parts.images.save([_asked(each) for each in names]), (("Content-Type", "application/x-tar"),))


def load(parts: Parts, call: Call) -> Reply:
    """Store the images of an archive; what goes wrong is told in the stream."""
    platform = platform_of(call)
    quiet = call.query.flag("quiet")

    def answer() -> Iterator[bytes]:
        try:
            for each in parts.images.load(call.stream(raw=True), platform=platform):
                if each.text or not quiet:
                    yield line(shown_progress(each))
        except (MobyError, OSError) as error:
            yield line(shown_error(error))

    return stream(answer(), "application/json")


def create(parts: Parts, call: Call) -> Reply:
    """Import an image of a tar, or pull one."""
    query = call.query
    if query.text("fromImage"):
        from moby_frontend.docker.handlers.images_registry import pull

        return pull(parts, call)
    source = query.text("fromSrc")
    if not source:
        raise Invalid("an image is pulled or imported: neither fromImage nor fromSrc says which")
    if source == "-":
        image = _imported(parts, call, call.stream(), source)
        return stream(iter([line({"status": str(image.id)})]), "application/json")
    from moby_frontend.docker.handlers.images_fetched import import_fetched

    return import_fetched(source, lambda archive, url: _imported(parts, call, archive, url))


def _imported(parts: Parts, call: Call, archive: BinaryIO, source: str) -> Image:
    """Import an archive as a call asks for it."""
    query = call.query
    reference = reference_of(query.text("repo"), query.text("tag"))
    return parts.images.import_(
        archive,
        parse(reference) if reference else None,
        changes=query.texts("changes"),
        message=query.text("message") or f"Imported from {source}",
        platform=platform_of(call),
    )
