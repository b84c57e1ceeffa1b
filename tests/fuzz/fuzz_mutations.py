"""Random changes of bytes, and of the values in JSON, that keep an input close to what its parser takes."""

import json
import random
from typing import Any

TOKENS = (
    b"\0", b"\xff", b"\n", b"..", b"../", b"/", b"-1", b"9" * 30, b"1e999", b"NaN", b"null", b"true", b"[", b"]", b"{",
    b"}", b'"', b":", b"@", b"&a", b"*a", b"<<", b"!!", b"${p}", b"\\ud800", b"\xed\xa0\x80", b"\xe2\x80\xae",
    b"sha256:",
)  # fmt: skip
VALUES = (
    None, True, False, 0, -1, 1 << 64, 10**400, 1.5, "", "\0", "..", "../x", "/", "a" * 5000, "\ud800", "\n", [], {},
    [None], [[[]]], {"": 1}, {"a": {"a": {}}}, "sha256:x", "1.2.3", ">=1",
)  # fmt: skip


def mutated(seed: bytes, chance: random.Random) -> bytes:
    """Return a changed input: as JSON where it is that, or byte by byte."""
    if chance.random() < 0.5:
        try:
            value = json.loads(seed)
        except ValueError:
            pass
        else:
            for _ in range(chance.randint(1, 3)):
                value = _changed_value(value, chance)
            return json.dumps(value).encode()
    for _ in range(chance.randint(1, 4)):
        seed = _changed_bytes(seed, chance)
    return seed


def _changed_value(value: Any, chance: random.Random) -> Any:
    """Change one value somewhere inside, deeper ones as likely as others."""
    if isinstance(value, dict) and value and chance.random() < 0.9:
        key = chance.choice(sorted(value))
        rest = {name: each for name, each in value.items() if name != key}
        match chance.randrange(8):
            case 0:
                return rest
            case 1:
                return {**rest, chance.choice(("", "x", "\0", "../x")): value[key]}
            case _:
                return {**value, key: _changed_value(value[key], chance)}
    if isinstance(value, list) and value and chance.random() < 0.9:
        at = chance.randrange(len(value))
        match chance.randrange(6):
            case 0:
                return value[:at] + value[at + 1 :]
            case 1:
                return [*value, value[at]]
            case _:
                return [*value[:at], _changed_value(value[at], chance), *value[at + 1 :]]
    return chance.choice(VALUES)


def _changed_bytes(data: bytes, chance: random.Random) -> bytes:
    at = chance.randint(0, len(data))
    end = min(len(data), at + chance.randint(0, 16))
    match chance.randrange(6):
        case 0:
            return data[:at]
        case 1:
            return data[:at] + data[end:]
        case 2:
            return data[:at] + chance.choice(TOKENS) * chance.choice((1, 1, 1, 2, 1000)) + data[at:]
        case 3:
            return data[:at] + data[at:end] * chance.randint(2, 9) + data[end:]
        case 4:
            return data[:at] + chance.randbytes(end - at) + data[end:]
        case _:
            return data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]
