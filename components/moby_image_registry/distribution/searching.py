"""Searching a service as the first image registries could be: Docker Hub still can (Docker Registry API v1, search)."""

import json
from typing import Any
from urllib.parse import urlencode

from moby.contracts.image_registry import Credentials, Match
from moby.errors import Invalid, Unavailable, Unsupported
from moby.oci.reference import DEFAULT_DOMAIN, parse
from moby_image_registry.distribution.calls import Calls, whole
from moby_image_registry.distribution.connection import Asked
from moby_image_registry.distribution.settings import Service, Settings

__all__ = ["search"]

_HUB = Service("index.docker.io", ("https",))


def search(
    settings: Settings, calls: Calls, domain: str, words: str, credentials: Credentials | None, limit: int
) -> tuple[Match, ...]:
    """Return what a service finds; Invalid for what is no host's name, other errors are in docker's words."""
    if parse(f"{domain}/x").domain != domain:
        raise Invalid(f"{domain!r} is no image registry's host")
    service = _HUB if domain == DEFAULT_DOMAIN else settings.origin(domain)
    asked = Asked("GET", f"/v1/search?{urlencode({'q': words, 'n': limit})}")
    with calls.made(service, asked, "", credentials) as response:
        if response.status != 200:
            lasts = 400 <= response.status < 500 and response.status != 429
            raise (Unsupported if lasts else Unavailable)(f"Unexpected status code {response.status}")
        data = whole(response)
    try:
        return tuple(_match(each) for each in json.loads(data)["results"][:limit])
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise Invalid(f"{service.host} answers a search with no list of what it found") from error


def _match(found: dict[str, Any]) -> Match:
    return Match(
        str(found["name"]), str(found.get("description") or ""), int(found.get("star_count") or 0),
        found.get("is_official") is True, found.get("is_automated") is True,
    )  # fmt: skip
