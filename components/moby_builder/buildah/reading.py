"""What has to be known of a Dockerfile before buildah reads it: the images and secrets that it names, and its lines.

A rough reading: what it finds too much does no harm, since it is looked for and not missed.
"""

import re
from collections.abc import Iterator, Mapping

from moby.contracts.builder import Range

__all__ = ["images_of", "line_of", "secrets_of"]

_FROM = re.compile(r"\s*FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?\s*$", re.IGNORECASE)
_NAMED = re.compile(r"(?:--|,|\b)from=([^\s,]+)")
_ARG = re.compile(r"\s*ARG\s+([A-Za-z_][A-Za-z0-9_]*)=(\S*)", re.IGNORECASE)
_SECRET = re.compile(r"--mount=(\S*type=secret\S*)")
_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_]\w*)(?::?-([^}]*))?\}|([A-Za-z_]\w*))")


def images_of(text: str, arguments: Mapping[str, str]) -> tuple[str, ...]:
    """Return the images that a Dockerfile may need, in order."""
    known = {found[1]: found[2].strip("\"'") for _, line in _lines(text) if (found := _ARG.match(line))}
    known.update(arguments)
    stages: set[str] = {"scratch"}
    names: list[str] = []
    for _, line in _lines(text):
        found = _FROM.match(line)
        if found:
            names.append(_expanded(found[1], known))
            stages.add((found[2] or "").lower())
        else:
            names += [_expanded(each, known) for each in _NAMED.findall(line)]
    return tuple(dict.fromkeys(each for each in names if each and each.lower() not in stages and not each.isdigit()))


def secrets_of(text: str) -> tuple[str, ...]:
    """Return the ids of the secrets that a Dockerfile asks for."""
    found = []
    for options in _SECRET.findall(text):
        given = dict(each.partition("=")[::2] for each in options.split(","))
        target = given.get("target") or given.get("dst") or ""
        found.append(given.get("id") or target.rpartition("/")[2])
    return tuple(dict.fromkeys(filter(None, found)))


def line_of(text: str, step: str) -> tuple[Range, ...]:
    """Return the lines of the instruction that buildah calls by this text; none where it can't be told."""
    wanted = _words(step)
    return next(((range_,) for range_, line in _lines(text) if _words(line) == wanted), ())


def _words(line: str) -> list[str]:
    return [each for each in line.split() if not each.startswith("--")]


def _lines(text: str) -> Iterator[tuple[Range, str]]:
    """Yield instructions as one line each, with where they are."""
    begun, first = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#") or not line.strip():
            continue
        first = first or number
        stripped = line.rstrip()
        if stripped.endswith("\\"):
            begun += stripped[:-1] + " "
            continue
        yield Range(first, number), begun + stripped
        begun, first = "", 0
    if begun:
        yield Range(first, len(text.splitlines())), begun


def _expanded(name: str, known: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda found: known.get(found[1] or found[3], found[2] or ""), name)
