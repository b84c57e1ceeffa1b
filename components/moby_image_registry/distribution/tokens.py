"""Authorization headers: what a service challenges for, got once and kept while it holds."""

import base64
import json
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from attrs import frozen

from moby.contracts.ambient import Clock
from moby.contracts.image_registry import Credentials
from moby.errors import Denied, Invalid
from moby_image_registry.distribution.challenges import Challenge

__all__ = ["Tokens"]

_SHORTEST_S = 60
"""What a token holds that says nothing (Docker's token specification), and the least that is believed."""
_LONGEST_S = 3600
_LONGEST_TOKEN = 64 << 10
"""No service reads longer headers."""
_MOST_KEPT = 256
"""Of services and repositories, which clients name; the oldest goes."""
CLIENT = "moby"


@frozen
class _Token:
    header: str
    until_ns: int


class Tokens:
    """Answers challenges. Thread-safe; `fetch` gets a URL (with a form to post, where there is one) as bytes.

    `may_lead` says whether a host may send to a URL.
    """

    def __init__(
        self,
        fetch: Callable[[str, dict[str, str], bytes | None], tuple[int, bytes]],
        may_lead: Callable[[str, str], bool],
        clock: Clock,
    ) -> None:
        self._fetch = fetch
        self._may_lead = may_lead
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, str, Credentials | None], _Token] = {}

    def known(self, host: str, scope: str, credentials: Credentials | None) -> str:
        """Return the header that is known to serve, empty for none."""
        with self._lock:
            found = self._kept.get((host, scope, credentials))
            return found.header if found and found.until_ns > self._clock.monotonic_ns() else ""

    def forget(self, host: str, scope: str, credentials: Credentials | None) -> None:
        """Forget a header that was refused."""
        with self._lock:
            self._kept.pop((host, scope, credentials), None)

    def answer(self, host: str, scope: str, credentials: Credentials | None, challenges: tuple[Challenge, ...]) -> str:
        """Return a header that answers one of the challenges; empty where none can be. Denied where it is refused."""
        found = self._made(host, scope, credentials, challenges)
        if found is None:
            return ""
        with self._lock:
            self._kept.pop((host, scope, credentials), None)
            self._kept[host, scope, credentials] = found
            while len(self._kept) > _MOST_KEPT:
                del self._kept[next(iter(self._kept))]
        return found.header

    def _made(
        self, host: str, scope: str, credentials: Credentials | None, challenges: tuple[Challenge, ...]
    ) -> _Token | None:
        if credentials and credentials.registry_token:
            if not _is_token(credentials.registry_token):
                raise Invalid(f"what was given as a token for {host} is none", hint="log in again")
            return self._for(f"Bearer {credentials.registry_token}", _SHORTEST_S)
        for challenge in challenges:
            if challenge.scheme == "bearer" and "realm" in challenge.parameters:
                return self._bearer(host, scope, credentials, challenge)
            if challenge.scheme == "basic" and credentials and credentials.username:
                return self._for(_basic(credentials), _LONGEST_S)
        return None

    def _for(self, header: str, seconds: float) -> _Token:
        return _Token(header, self._clock.monotonic_ns() + int(seconds * 1e9))

    def _bearer(self, host: str, scope: str, credentials: Credentials | None, challenge: Challenge) -> _Token:
        """Ask the realm for a token (Docker's token and OAuth2 specifications)."""
        realm, service = challenge.parameters["realm"], challenge.parameters.get("service", "")
        if not self._may_lead(host, realm):
            raise Invalid(f"{host} sends to {realm!r} for a token, which is no https URL")
        parts = urlsplit(realm)
        headers, form = {}, None
        if credentials and credentials.identity_token:
            form = urlencode({
                "grant_type": "refresh_token", "service": service, "client_id": CLIENT, "scope": scope,
                "refresh_token": credentials.identity_token,
            }).encode()  # fmt: skip
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            url = realm
        else:
            query = [
                *parse_qsl(parts.query),
                ("service", service),
                *(("scope", each) for each in scope.split() if each),
            ]
            url = urlunsplit(parts._replace(query=urlencode([pair for pair in query if pair[1]])))
            if credentials and credentials.username:
                headers["Authorization"] = _basic(credentials)
        status, body = self._fetch(url, headers, form)
        answer = _json(body)
        if status != 200:
            raise Denied(f"{parts.netloc} gives no token for {host}: {_told(answer) or f'status {status}'}")
        token = answer.get("access_token") or answer.get("token")
        if not isinstance(token, str) or not _is_token(token):
            raise Invalid(f"{parts.netloc} answers with no token for {host}")
        lasts = answer.get("expires_in")
        seconds = lasts if isinstance(lasts, int | float) else _SHORTEST_S
        # In this order, since each of both returns its first where the other is no number (NaN).
        return self._for(f"Bearer {token}", min(_LONGEST_S, max(_SHORTEST_S, seconds)) * 0.9)


def _is_token(text: str) -> bool:
    """Whether a header can hold it."""
    return text.isascii() and text.isprintable() and len(text) <= _LONGEST_TOKEN


def _basic(credentials: Credentials) -> str:
    return "Basic " + base64.b64encode(f"{credentials.username}:{credentials.password}".encode()).decode()


def _json(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _told(answer: dict[str, Any]) -> str:
    found = answer.get("details") or answer.get("error_description") or answer.get("error")
    if not found and isinstance(answer.get("errors"), list) and answer["errors"]:
        found = answer["errors"][0].get("message") if isinstance(answer["errors"][0], dict) else None
    return str(found or "")[:500]
