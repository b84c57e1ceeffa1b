"""Searching image registries (docker search), with docker's rules and words."""

from collections.abc import Callable

from moby.contracts.image_registry import Match
from moby.errors import Invalid
from moby.oci.reference import DEFAULT_DOMAIN
from moby_frontend.docker.call import Call, Reply, reply_json
from moby_frontend.docker.filters import Filters
from moby_frontend.docker.handlers.images_registry import client, credentials
from moby_frontend.docker.parts import Parts

__all__ = ["search"]

_FILTERS = frozenset({"is-automated", "is-official", "stars"})
_DEFAULT, _MOST = 25, 100


def search(parts: Parts, call: Call) -> Reply:
    """Return the repositories of a service that a term means."""
    passes = _passes(Filters(call.query.text("filters"), _FILTERS))
    limit = _number(call.query.text("limit"), "limit") or _DEFAULT
    if not 0 < limit <= _MOST:
        raise Invalid(f"limit {limit} is outside the range of [1, {_MOST}]")
    domain, words = _split(call.query.text("term"))
    found = client(parts).search(domain, words, credentials(call), limit=limit)
    return reply_json([_shown(each) for each in found if passes(each)])


def _passes(filters: Filters) -> Callable[[Match], bool]:
    stars = max([_number(each, f"filter 'stars={each}'") for each in filters.get("stars")], default=0)
    wanted = {key: filters.flag(key, default=False) for key in ("is-automated", "is-official") if key in filters}

    def passes(found: Match) -> bool:
        facts = {"is-automated": found.is_automated, "is-official": found.is_official}
        return found.stars >= stars and all(facts[key] is value for key, value in wanted.items())

    return passes


def _number(text: str, what: str) -> int:
    try:
        return int(text or "0")
    except ValueError:
        raise Invalid(f'invalid {what}: strconv.Atoi: parsing "{text[:100]}": invalid syntax') from None


def _split(term: str) -> tuple[str, str]:
    """Return the service that a term begins with, else Docker Hub, and what is looked for there."""
    if "://" in term:
        raise Invalid(f"invalid repository name: repository name ({term[:200]}) should not have a scheme")
    domain, slash, words = term.partition("/")
    if not slash or not (set(".:") & set(domain) or domain == "localhost"):
        domain, words = DEFAULT_DOMAIN, term
    if domain in (DEFAULT_DOMAIN, f"index.{DEFAULT_DOMAIN}"):
        return DEFAULT_DOMAIN, words.removeprefix("library/")
    return domain, words


def _shown(found: Match) -> dict[str, object]:
    return {
        "star_count": found.stars, "is_official": found.is_official, "name": found.name,
        "is_automated": found.is_automated, "description": found.description,
    }  # fmt: skip
