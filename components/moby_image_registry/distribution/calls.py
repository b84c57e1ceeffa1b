"""Calls of the distribution API: requests with their authorization, and answers with their errors."""

import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn
from urllib.parse import urlsplit

import urllib3

from moby.contracts.ambient import Clock
from moby.contracts.image_registry import Credentials
from moby.contracts.types import ImageReference
from moby.errors import Corrupt, Denied, Invalid, NotFound, Unavailable
from moby.oci.reference import familiar, familiar_name
from moby_image_registry.distribution.challenges import read
from moby_image_registry.distribution.connection import LONGEST_TEXT, Answer, Asked, Connections
from moby_image_registry.distribution.settings import Service, Settings
from moby_image_registry.distribution.tokens import Tokens
from moby_image_registry.distribution.words import in_words

__all__ = ["Calls", "PULL", "PUSH", "scope_of", "whole"]

PULL = "pull"
PUSH = "pull,push"
_GZIP = 16
"""Of zlib's window bits: that the data are in this format."""


def scope_of(reference: ImageReference, actions: str) -> str:
    """Return what a token is to allow (Docker's token scope documentation)."""
    return f"repository:{reference.path}:{actions}"


def whole(response: Answer, limit: int = LONGEST_TEXT) -> bytes:
    """Return an answer's body; Invalid where it is longer than what anybody sends, Unavailable where it breaks off."""
    data = b""
    try:
        while len(data) <= limit and (chunk := response.read(limit + 1 - len(data), decode_content=False)):
            data += chunk  # its end is known where there is no more
    except urllib3.exceptions.HTTPError as error:
        raise Unavailable(f"an image registry's answer breaks off: {in_words(error)}", hint="try again") from error
    data = _unpacked(data, response.headers.get("Content-Encoding", "").strip().lower(), limit)
    if len(data) > limit:
        raise Invalid(f"an image registry answers with more than {limit} bytes where there should be a few")
    return data


def _unpacked(data: bytes, coding: str, limit: int) -> bytes:
    """Return no more than a byte over the limit of what is packed; older versions of urllib3 unpack all there is."""
    if coding in ("", "identity"):
        return data
    if coding not in ("gzip", "x-gzip"):
        raise Unavailable(f"an image registry answers in the coding {coding[:100]!r}, for which nobody asked")
    unpacking = zlib.decompressobj(zlib.MAX_WBITS | _GZIP)
    try:
        found = unpacking.decompress(data, limit + 1)
    except zlib.error as error:
        raise Unavailable(f"an image registry's answer can't be unpacked: {error}", hint="try again") from error
    if not unpacking.eof and len(found) <= limit:
        raise Unavailable("an image registry's answer breaks off", hint="try again")
    return found


class Calls:
    """Makes requests to services, answering what they challenge for. Thread-safe."""

    def __init__(self, settings: Settings, connections: Connections, clock: Clock) -> None:
        self._settings = settings
        self._connections = connections
        self._tokens = Tokens(self._fetch, settings.may_lead, clock)

    @contextmanager
    def made(self, service: Service, asked: Asked, scope: str, credentials: Credentials | None) -> Iterator[Answer]:
        """Lend the answer to a request, of any status; 401 is one that no credentials at hand change."""
        known = self._tokens.known(service.host, scope, credentials)
        with self._connections.answer(service, asked, known) as response:
            if response.status != 401:
                yield response
                return
            challenges = read(response.headers.getlist("WWW-Authenticate"))
            self._tokens.forget(service.host, scope, credentials)
            secret = self._tokens.answer(service.host, scope, credentials, challenges)
            if not secret:
                yield response
                return
        with self._connections.answer(service, asked, secret) as response:
            if response.status == 401:
                self._tokens.forget(service.host, scope, credentials)
            yield response

    @contextmanager
    def first(self, reference: ImageReference, asked: Asked, credentials: Credentials | None) -> Iterator[Answer]:
        """Lend the first good answer of a reference's mirrors and its own service, whose failure is the one told."""
        for service in self._settings.services(reference.domain):
            # What a user has for the origin is not shown to its mirrors.
            own = None if service.mirror else credentials
            lent = False
            try:
                with self.made(service, asked, scope_of(reference, PULL), own) as response:
                    if response.status in (200, 206):
                        lent = True
                        yield response
                        return
                    if not service.mirror:
                        failed(reference, response, known=credentials is not None)
            except (Unavailable, Denied, Invalid):
                if lent or not service.mirror:
                    raise

    def _fetch(self, url: str, headers: dict[str, str], form: bytes | None) -> tuple[int, bytes]:
        import io

        parts = urlsplit(url)
        service = Service(parts.netloc, (parts.scheme,))
        body = (lambda: io.BytesIO(form)) if form is not None else None
        secret = headers.pop("Authorization", "")
        asked = Asked("GET" if form is None else "POST", url, headers, body, len(form or b""))
        with self._connections.answer(service, asked, secret) as response:
            return response.status, whole(response)


def failed(reference: ImageReference, response: Answer, *, known: bool = True, sending: bool = False) -> NoReturn:
    """Raise what an answer that isn't good means for a reference, in docker's words; `known` is who asks."""
    code, message = _told(response)
    name = familiar_name(reference)
    if response.status in (401, 403):
        raise Denied(_denied(name, response, code, message, known, sending), hint=f"docker login {reference.domain}")
    if code in {"DIGEST_INVALID", "SIZE_INVALID"}:
        raise Corrupt(f"what was sent to {name} is not what its digest says: {message}")
    if response.status == 404 and code != "NAME_UNKNOWN":
        raise NotFound(f"manifest for {familiar(reference)} not found: manifest unknown: {message}")
    if response.status == 404:
        raise NotFound(f"{name}: {message}")
    if response.status == 416:
        raise Unavailable(f"{reference.domain} has less of a blob of {name} than was said")
    if response.status in (408, 429) or response.status >= 500:
        raise Unavailable(f"{reference.domain} can't serve {name} now: {message}", hint="try again later")
    raise Invalid(f"{reference.domain} refuses what is asked of {name}: status {response.status}: {message}")


def _denied(name: str, response: Answer, code: str, message: str, known: bool, sending: bool) -> str:
    challenges = read(response.headers.getlist("WWW-Authenticate"))
    bearer = [each for each in challenges if each.scheme == "bearer"]
    if not known and not bearer and any(each.scheme == "basic" for each in challenges):
        return "no basic auth credentials" if sending else f"{name}: no basic auth credentials"
    if any(each.parameters.get("error") == "insufficient_scope" for each in bearer):
        code, message = "DENIED", "requested access to the resource is denied"
    elif not code and response.status == 401:  # as a HEAD's answer, which has no body
        code, message = "UNAUTHORIZED", "authentication required"
    words = f"{code.lower().replace('_', ' ')}: {message}" if code else message
    if sending or not (bearer or code == "DENIED" or response.status == 403):
        return words
    return f"pull access denied for {name}, repository does not exist or may require 'docker login': {words}"


def _told(response: Answer) -> tuple[str, str]:
    """Return the code and the text of an error (distribution-spec, error codes)."""
    text = f"status {response.status}"
    try:
        found: Any = json.loads(whole(response, 1 << 16))
        first = found["errors"][0]
        return str(first.get("code") or ""), str(first.get("message") or text)[:500]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, Invalid, Unavailable):
        return "", text
