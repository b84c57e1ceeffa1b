"""Signing what was made, with an Ed25519 key (RFC 8032), in the envelope of the provenance and in minisign's form."""

import base64
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import field, frozen

from moby.errors import HostUnfit, Invalid, NotFound, Unsupported

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = ["Key", "minisig", "public", "read"]

MAKE = "openssl genpkey -algorithm ed25519 -out KEY, or minisign -G -W -s KEY"
NUMBER_BYTES = 8
_SECRET_BYTES = 158
"""Of minisign's file: algorithms 2 + 2 + 2, salt 32, limits 16, number 8, key 64, checksum 32."""
_PLAIN, _ALGORITHM, _HASHED = b"\0\0", b"Ed", b"ED"


@frozen
class Key:
    """A private key; it never shows in a text of this."""

    number: bytes
    """What minisign finds the public key by."""
    _private: "Ed25519PrivateKey" = field(repr=False)

    @property
    def key_id(self) -> str:
        """The number as minisign shows it."""
        return self.number[::-1].hex().upper()

    @property
    def public(self) -> bytes:
        """The public key, 32 bytes."""
        return self._private.public_key().public_bytes_raw()

    def sign(self, data: bytes) -> bytes:
        """Return the signature, 64 bytes, the same for the same data."""
        return self._private.sign(data)


def read(path: Path) -> Key:
    """Return the key of a file: PEM (PKCS #8), or minisign's, both without a password.

    NotFound where there is none, Invalid what is no such key, Unsupported one with a password, HostUnfit where the
    library that signs isn't installed.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise NotFound(f"no key at {path}: {error.strerror}", hint=MAKE) from error
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    except ImportError as error:
        raise HostUnfit("signing needs cryptography", hint="pip install 'moby-framework[signing]'") from error
    if data.startswith(b"-----BEGIN"):
        return _from_pem(data, path)
    number, seed = _from_minisign(data, path)
    return Key(number, Ed25519PrivateKey.from_private_bytes(seed))


def _from_pem(data: bytes, path: Path) -> Key:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(data, None)
    except TypeError as error:  # it has a password
        raise Unsupported(f"the key {path} has a password", hint=MAKE) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Invalid(f"{path} is no private key: {error}", hint=MAKE) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise Invalid(f"{path} is no Ed25519 key", hint=MAKE)
    number = hashlib.sha256(key.public_key().public_bytes_raw()).digest()[:NUMBER_BYTES]
    return Key(number, key)


def _from_minisign(data: bytes, path: Path) -> tuple[bytes, bytes]:
    """Return number and seed out of minisign's secret key."""
    try:
        raw = base64.b64decode(data.splitlines()[1], validate=True)
    except (ValueError, IndexError):
        raw = b""
    if len(raw) != _SECRET_BYTES or raw[:2] != _ALGORITHM:
        raise Invalid(f"{path} is no private key, neither PEM nor minisign's", hint=MAKE)
    if raw[2:4] != _PLAIN:
        raise Unsupported(f"the key {path} has a password", hint=MAKE)
    number, secret, check = raw[54:62], raw[62:126], raw[126:158]
    if hashlib.blake2b(_ALGORITHM + number + secret, digest_size=32).digest() != check:
        raise Invalid(f"the key {path} is damaged", hint=MAKE)
    return number, secret[:32]


def minisig(key: Key, path: Path) -> bytes:
    """Return the signature of a file as minisign writes it, with the file's name in its trusted comment."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "blake2b").digest()
    signature = key.sign(digest)
    comment = f"file:{path.name}\thashed"
    lines = [
        b"untrusted comment: signature from moby",
        base64.b64encode(_HASHED + key.number + signature),
        f"trusted comment: {comment}".encode(),
        base64.b64encode(key.sign(signature + comment.encode())),
    ]
    return b"\n".join(lines) + b"\n"


def public(key: Key) -> bytes:
    """Return the public key as minisign reads it."""
    text = base64.b64encode(_ALGORITHM + key.number + key.public)
    return f"untrusted comment: minisign public key {key.key_id}\n".encode() + text + b"\n"
