"""Records into docker's lines of JSON, by the batch: what Python does for each line is done once for all of them.

Byte for byte what docker's jsonlogbytes.go writes: `<`, `>`, `&`, U+2028 and U+2029 escaped, each byte that is no
UTF-8 as `\\ufffd`, control characters in two or four digits.
"""

import codecs
import json
from collections.abc import Mapping

from moby.oci.times import nano
from moby_log.records.lines import NAMES, Batch

__all__ = ["HEAD", "Encoder"]

HEAD = b'{"log":"'
_ESCAPES = {b"\\": b"\\\\", b'"': b'\\"', b"\r": b"\\r"}
_ESCAPES |= {bytes((each,)): b"\\u00%02x" % each for each in (*range(0x20), *b"<>&") if each not in b"\r\n"}
# Backslashes first: what comes after brings more of them.
_ORDER = sorted(_ESCAPES, key=lambda each: each != b"\\")
_PLAIN = bytes(each for each in range(256) if bytes((each,)) not in _ESCAPES)
_REPLACING = "moby-log-each-byte"
codecs.register_error(_REPLACING, lambda error: ("\\ufffd" * (error.end - error.start), error.end))  # type: ignore[attr-defined]


def escaped(data: bytes) -> bytes:
    """Return text as it stands in a JSON string, all but its newlines."""
    special = data.translate(None, _PLAIN)
    if special:
        found = set(special)
        for each in _ORDER:
            if each[0] in found:
                data = data.replace(each, _ESCAPES[each])
    if data.isascii():
        return data
    if b"\xe2\x80" in data:
        data = data.replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")
    try:
        data.decode()
    except UnicodeDecodeError:
        return data.decode("utf-8", _REPLACING).encode()
    return data


def _json(attributes: Mapping[str, str]) -> bytes:
    """Return an object as Go's encoding/json writes it: sorted, and safe inside HTML."""
    text = json.dumps(dict(attributes), ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    data = text.encode("utf-8", "replace").replace(b"\x7f", b"\x7f")
    for each in (b"<", b">", b"&"):
        data = data.replace(each, _ESCAPES[each])
    return data.replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")


class Encoder:
    """Makes lines of one container, each with its attributes."""

    def __init__(self, attributes: Mapping[str, str]) -> None:
        more = b',"attrs":' + _json(attributes) if attributes else b""
        self._middle = {stream: b'","stream":"%b"%b,"time":"' % (name.encode(), more) for stream, name in NAMES.items()}

    def lines(self, batch: Batch) -> bytes:
        """Return a line for each record of a batch."""
        tail = b'%b%b"}\n' % (self._middle[batch.stream], nano(batch.time_ns).encode())
        data = escaped(batch.data)
        if batch.ordinal and not batch.last:
            return HEAD + data + tail
        tail = b"\\n" + tail
        return HEAD + data[:-1].replace(b"\n", tail + HEAD) + tail
