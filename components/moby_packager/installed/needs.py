"""Which programs of the system's own packages the parts of an engine run."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

__all__ = ["programs"]


def programs(instances: Iterable[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], bool]]:
    """Return needs of the host, and whether a part can't do without; what an option names elsewhere is none of them."""
    for each in instances:
        for need in each["facts"]["host"]:
            given = each["config"].get(need["option"])
            if need["package"] and need["what"] == "binary" and given in (None, "", need["name"]):
                yield need, each["policy"] == "required" and not need["optional"] and not need["module"]
