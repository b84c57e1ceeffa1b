"""What goes through image registries: pull, push, login, and what a name means there."""

import base64
import binascii
import json
from collections.abc import Iterable, Iterator
from typing import Any

from moby.contracts.image_registry import Credentials, ImageRegistry
from moby.contracts.images import Progress
from moby.contracts.types import ImageReference, Platform
from moby.errors import Denied, Invalid, MobyError, Unsupported
from moby.oci import image as formats
from moby.oci.reference import parse
from moby_frontend.docker.call import Call, Reply, reply_json, stream
from moby_frontend.docker.failures import Status, message
from moby_frontend.docker.handlers.progress import line, shown_error, shown_progress
from moby_frontend.docker.parts import Parts
from moby_frontend.docker.translate.images import platform_of, reference_of

__all__ = ["auth", "client", "credentials", "distribution", "pull", "push"]

_LONGEST_CONFIG = 4 << 20


def pull(parts: Parts, call: Call) -> Reply:
    """Fetch an image; what goes wrong before anything came is the answer, later it is told in the stream."""
    query = call.query
    reference = _reference(query.text("fromImage"), query.text("tag"))
    told = parts.images.pull(reference, credentials(call), platform=platform_of(call))
    return stream(_lines(told, denied=404), "application/json")


def push(parts: Parts, call: Call) -> Reply:
    """Send an image."""
    name, tag = call.names["name"], call.query.text("tag")
    told = parts.images.push(_reference(name, tag), credentials(call))
    return stream(_lines(told, denied=500), "application/json")


def _reference(name: str, tag: str) -> ImageReference:
    try:
        return parse(reference_of(name, tag), default_tag=False)
    except Invalid as error:
        raise Invalid(f"invalid reference format: {error.message}", hint=error.hint) from error


def _lines(told: Iterable[Progress], denied: int) -> Iterator[bytes]:
    """Yield progress as messages; an error before the first is raised, as docker's status for it."""
    begun = False
    try:
        for each in told:
            if each.final or each.sent or each.status:
                yield line(shown_progress(each))
                begun = True
    except (MobyError, OSError) as error:
        if begun:
            yield line(shown_error(error))
        elif isinstance(error, Denied):
            raise Status(denied, message(error)) from error
        else:
            raise


def credentials(call: Call) -> Credentials | None:
    """Return who asks (X-Registry-Auth, base64url of JSON); what can't be read is passed over, as docker does."""
    text = call.headers.get("x-registry-auth", "")
    try:
        found = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        return _of(found)
    except (ValueError, binascii.Error, RecursionError):
        return None


def _of(found: Any) -> Credentials | None:
    if not isinstance(found, dict):
        return None
    values = [str(found.get(key) or "") for key in ("username", "password", "identitytoken", "registrytoken")]
    if found.get("auth") and not values[0]:
        user, _, password = base64.b64decode(str(found["auth"])).decode().partition(":")
        values[:2] = [user, password]
    return Credentials(*values) if any(values) else None


def client(parts: Parts) -> ImageRegistry:
    """Return the way to image registries; Unsupported where the engine has none."""
    if parts.image_registry is None:
        raise Unsupported(
            "this engine has no image registry's client; assemble an engine that has an image-registry part"
        )
    return parts.image_registry


def auth(parts: Parts, call: Call) -> Reply:
    """Prove what a user is about to save (`docker login`)."""
    given = call.json()
    server = str(given.get("serveraddress") or "")
    try:
        who = _of(given) or Credentials()
    except ValueError as error:
        raise Invalid(f"invalid auth: {error}") from error
    try:
        token = client(parts).login(server, who)
    except Denied as error:
        raise Status(401, message(error)) from error
    return reply_json({"IdentityToken": token, "Status": "Login Succeeded"})


def distribution(parts: Parts, call: Call) -> Reply:
    """Say which manifest a name means at its image registry, and for which platforms it is."""
    service, who = client(parts), credentials(call)
    reference = _reference(call.names["name"], "")
    if not (reference.tag or reference.digest):
        reference = parse(call.names["name"])
    try:
        found = service.manifest(reference, who)
        shown = {
            "Descriptor": {"mediaType": found.media_type, "digest": str(found.digest), "size": len(found.data)},
            "Platforms": [_shown(each) for each in _platforms(service, reference, found.media_type, found.data, who)],
        }
    except Denied as error:
        raise Status(401, message(error)) from error
    return reply_json(shown)


def _platforms(
    client: ImageRegistry, reference: ImageReference, media_type: str, data: bytes, who: Credentials | None
) -> Iterator[Platform]:
    if formats.is_index(media_type):
        yield from (each.platform for each in formats.parse_index(data).manifests if each.platform)
        return
    config = formats.parse_manifest(data).config
    if config.size_bytes > _LONGEST_CONFIG:
        raise Invalid(f"the image's config has {config.size_bytes} bytes; at most {_LONGEST_CONFIG} are allowed")
    text = b"".join(client.blob(reference, config.digest, config.size_bytes, who))
    yield formats.parse_config(text).platform


def _shown(platform: Platform) -> dict[str, str]:
    variant = {"variant": platform.variant} if platform.variant else {}
    return {"architecture": platform.architecture, "os": platform.os, **variant}
