"""Keys and documents as text that a store keeps."""

import json
from typing import Any

from moby.contracts.metadata import MAX_KEY_BYTES
from moby.errors import Invalid

__all__ = ["LAST", "checked", "encoded"]

LAST = "\U0010ffff"
"""After every character of a key, so that a prefix and this are after all keys with that prefix."""
_ENCODE = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def checked(text: str, what: str) -> str:
    """Return a key, or the name of a bucket, as it is; Invalid for one that can't be."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise Invalid(f"{what} {text[:80]!r} is no text that UTF-8 can hold") from None
    if not 0 < size <= MAX_KEY_BYTES or "\0" in text or LAST in text:
        raise Invalid(f"{what} {text[:80]!r} must be 1 to {MAX_KEY_BYTES} bytes, without NUL and U+10FFFF")
    return text


def encoded(document: Any, key: str) -> str:
    """Return a document as JSON; Invalid for what is none."""
    try:
        text = _ENCODE(document)
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise Invalid(f"document {key[:80]!r} is no JSON value: {error}") from None
    return text
