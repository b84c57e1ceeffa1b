"""What calls about a swarm have in their queries: versions, truth values, filters of lists."""

from collections.abc import Iterable

from moby.errors import Invalid
from moby_frontend.docker.call import Call
from moby_frontend.docker.failures import Status
from moby_frontend.docker.filters import Filters

__all__ = ["begins", "checked", "truth", "version_of"]

_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})


def version_of(call: Call, what: str) -> int:
    """Return of which version a change is; Invalid in docker's words."""
    text = call.query.text("version")
    if text.isascii() and text.isdigit() and len(text) < 20:
        return int(text)
    raise Invalid(f"invalid {what} version '{text[:100]}': strconv.ParseUint: parsing \"{text[:100]}\": invalid syntax")


def truth(call: Call, name: str) -> bool:
    """Return a truth value of the query; Invalid in docker's words."""
    text = call.query.text(name)
    if text and text not in _TRUE | _FALSE:
        raise Invalid(f"invalid value for {name}: {text[:100]}")
    return text in _TRUE


def begins(filters: Filters, key: str, *sources: str) -> bool:
    """Return whether there is no such filter, or one of these begins as a value says (as ids and names in a swarm)."""
    values = filters.get(key)
    return not values or any(source.startswith(value) for value in values for source in sources)


def checked(filters: Filters, key: str, known: Iterable[str]) -> None:
    """Refuse values that a filter can't have, in docker's words."""
    for each in filters.get(key):
        if each not in known:
            raise Status(500, f"Invalid {key} filter: '{each}'")
