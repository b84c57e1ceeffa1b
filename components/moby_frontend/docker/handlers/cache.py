"""The builder's cache: what it takes, and what may go."""

from typing import Any

from moby.contracts.builder import CacheEntry, Keep
from moby.errors import Invalid
from moby_frontend.docker.call import Call, Reply, reply_json
from moby_frontend.docker.filters import Filters
from moby_frontend.docker.handlers.pruned import tell_pruned
from moby_frontend.docker.parts import Parts
from moby_frontend.docker.times import rfc3339

__all__ = ["prune", "show_entry"]

_AGES = ("until", "unused-for")
"""Two names of the same."""
_LABELS = ("label", "label!")
"""What `docker system prune` asks of everything; nothing of the cache has any."""
_FILTERS = frozenset({*_AGES, *_LABELS, "id", "parent", "parents", "type", "description", "inuse", "shared", "private"})


def prune(parts: Parts, call: Call) -> Reply:
    """Remove what nobody needs."""
    if parts.builder is None:
        return reply_json({"CachesDeleted": None, "SpaceReclaimed": 0})
    query = call.query
    filters = Filters(query.text("filters"), _FILTERS)
    if "label" in filters:
        return reply_json({"CachesDeleted": None, "SpaceReclaimed": 0})
    age_ns, *ages = [filters.time_ns(each, 0) for each in _AGES if each in filters] or [0]
    if ages:
        raise Invalid(f"conflicting filters: {' and '.join(_AGES)}")
    keep = Keep(
        all=query.flag("all"),
        filters={key: values for key, values in filters.as_mapping().items() if key not in (*_AGES, *_LABELS)},
        age_ns=-(age_ns or 0),
        reserved_bytes=query.number("reserved-space") or query.number("keep-storage"),
        max_bytes=query.number("max-used-space"),
        min_free_bytes=query.number("min-free-space"),
    )
    found = parts.builder.prune(keep)
    tell_pruned(parts, "builder", found.reclaimed_bytes)
    names = [each.id for each in found.entries]
    return reply_json({"CachesDeleted": names or None, "SpaceReclaimed": found.reclaimed_bytes})


def show_entry(entry: CacheEntry) -> dict[str, Any]:
    """Return an entry as the API shows it (BuildCache)."""
    return {
        "ID": entry.id,
        "Parent": ",".join(entry.parents),
        "Parents": list(entry.parents),
        "Type": entry.type,
        "Description": entry.description,
        "InUse": entry.in_use,
        "Shared": entry.shared,
        "Size": entry.size_bytes,
        "CreatedAt": rfc3339(entry.created_ns),
        "LastUsedAt": rfc3339(entry.used_ns) if entry.used_ns else None,
        "UsageCount": entry.uses,
    }
