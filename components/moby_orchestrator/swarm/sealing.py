"""Bytes that only who has a key can read, and that nobody else can have changed; and the keys of clusters.

Of the standard library alone, since a distribution may hold no machine code: the key stream is SHAKE256 of key and
nonce, the tag keyed BLAKE2b of nonce and text, each with a key of its own (encrypt-then-MAC).
"""

import base64
import hashlib
import hmac
import secrets

from moby.contracts.orchestrator import Tokens
from moby.errors import Denied
from moby_orchestrator.reconciling.tasks import identify

__all__ = ["KEY_BYTES", "fresh_id", "fresh_tokens", "new_key", "opened", "read_key", "sealed", "written_key"]

KEY_BYTES = 32
_NONCE, _TAG = 16, 32
_PREFIX = "SWMKEY-1-"


def new_key() -> bytes:
    """Return a key that nobody has."""
    return secrets.token_bytes(KEY_BYTES)


def sealed(key: bytes, text: bytes) -> bytes:
    """Return a text that only the key opens; another each time."""
    nonce = secrets.token_bytes(_NONCE)
    body = _mixed(key, nonce, text)
    return nonce + _tag(key, nonce + body) + body


def opened(key: bytes, data: bytes) -> bytes:
    """Return what was sealed; Denied for another key, and for what was changed since."""
    nonce, tag, body = data[:_NONCE], data[_NONCE : _NONCE + _TAG], data[_NONCE + _TAG :]
    if not hmac.compare_digest(tag, _tag(key, nonce + body)):
        raise Denied("invalid key", hint="it is told by `docker swarm unlock-key` of a manager that is unlocked")
    return _mixed(key, nonce, body)


def _tag(key: bytes, data: bytes) -> bytes:
    return hashlib.blake2b(data, key=key, digest_size=_TAG, person=b"moby-swarm-tag").digest()


def _mixed(key: bytes, nonce: bytes, text: bytes) -> bytes:
    stream = hashlib.shake_256(b"moby-swarm-text" + key + nonce).digest(len(text))
    return (int.from_bytes(text, "big") ^ int.from_bytes(stream, "big")).to_bytes(len(text), "big")


def written_key(key: bytes) -> str:
    """Return a key as people are shown it."""
    return _PREFIX + base64.b64encode(key).decode().rstrip("=")


def read_key(text: str) -> bytes:
    """Return the key that people typed; Denied where it can't be one."""
    body = text.strip().removeprefix(_PREFIX)
    try:
        key = base64.b64decode(body + "=" * (-len(body) % 4), validate=True)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES or not text.strip().startswith(_PREFIX):
        raise Denied("invalid key string", hint="it begins with SWMKEY-1-")
    return key


def fresh_id() -> str:
    """Return an id of 25 letters and digits, as docker's."""
    return identify(secrets.token_hex(16))


def fresh_tokens(fingerprint: str, before: Tokens | None = None, rotate: frozenset[str] = frozenset()) -> Tokens:
    """Return what nodes say to join: the first part the same for all of a cluster, as docker's."""

    def token() -> str:
        return f"SWMTKN-1-{_digits(fingerprint, 50)}-{_digits(secrets.token_hex(16), 25)}"

    return Tokens(
        worker=token() if before is None or "worker" in rotate else before.worker,
        manager=token() if before is None or "manager" in rotate else before.manager,
    )


def _digits(text: str, count: int) -> str:
    return (identify(text, 0) + identify(text, 1))[:count]
