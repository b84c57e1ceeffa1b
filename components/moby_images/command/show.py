"""Images as text, in Docker's columns, and as the JSON of `docker image inspect`."""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from moby.contracts.images import HistoryStep, Image
from moby.contracts.types import ImageReference
from moby.errors import printable
from moby.oci import image as formats
from moby.oci import reference as references

__all__ = ["ago", "history", "human_size", "inspected", "listed", "rows", "step", "step_id", "table"]

_NONE = "<none>"
_SPANS = (
    ("years", 365 * 86400, 2), ("months", 30 * 86400, 2), ("weeks", 7 * 86400, 2), ("days", 86400, 2),
    ("hours", 3600, 2), ("minutes", 60, 2), ("seconds", 1, 1),
)  # fmt: skip


def human_size(size_bytes: int) -> str:
    """Return three digits and a unit of thousands, as Docker: `12.3MB`."""
    value, units = float(size_bytes), iter(("B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB"))
    unit = next(units)
    while value >= 999.5:
        value, unit = value / 1000, next(units)
    return f"{value:.3g}{unit}"


def ago(created: str, now: datetime) -> str:
    """Return how long ago something was made, as Docker says it; `N/A` where that isn't known."""
    found = re.match(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d)?$", created)
    if not found:
        return "N/A"
    try:
        then = datetime.fromisoformat(found[1] + (found[2] or "Z").replace("Z", "+00:00"))
    except ValueError:
        return "N/A"
    seconds = int((now - then.astimezone(UTC)).total_seconds())
    for unit, span_s, least in _SPANS:
        if seconds >= span_s * least:
            count = seconds // span_s
            return f"{count} {unit} ago" if count > 1 else f"{count} {unit[:-1]} ago"
    return "Less than a second ago"


def rows(images: Iterable[Image], *, whole: bool, now: datetime, digests: bool = False) -> list[tuple[str, ...]]:
    """Return a row for each name of each image: repository, tag, perhaps digest, id, age, size."""
    found: list[tuple[str, ...]] = []
    for image in images:
        shown = str(image.id) if whole else image.id.hex[:12]
        tail = (shown, ago(image.created, now), human_size(image.size_bytes))
        for name in [_names(each) for each in image.references] or [(_NONE, _NONE)]:
            found.append((*name, str(image.digest), *tail) if digests else (*name, *tail))
    return found


def step_id(each: HistoryStep, *, whole: bool) -> str:
    """Return the id of a step's image, as Docker shows it."""
    if each.id is None:
        return "<missing>"
    return str(each.id) if whole else each.id.hex[:12]


def history(steps: Iterable[HistoryStep], *, whole: bool, now: datetime) -> str:
    """Return the steps that an image was made by as Docker's table."""
    lines = []
    for each in steps:
        by = each.created_by if whole or len(each.created_by) <= 45 else each.created_by[:44] + "\u2026"
        by = " ".join(by.split()) if not whole else by
        lines.append((
            step_id(each, whole=whole), ago(each.created, now), by, human_size(each.size_bytes), each.comment,
        ))  # fmt: skip
    return table(("IMAGE", "CREATED", "CREATED BY", "SIZE", "COMMENT"), lines)


def step(each: HistoryStep) -> dict[str, Any]:
    """Return a step as Docker's API has it."""
    return {
        "Id": str(each.id) if each.id else "<missing>",
        "Created": each.created,
        "CreatedBy": each.created_by,
        "Tags": [references.familiar(name) for name in each.references] or None,
        "Size": each.size_bytes,
        "Comment": each.comment,
    }


def table(headers: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return columns, three spaces apart, as Docker's; what an image says is shown, and commands no terminal."""
    lines = [[printable(cell) for cell in line] for line in lines]
    widths = [max(len(line[i]) for line in [headers, *lines]) for i in range(len(headers))]
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in [headers, *lines]
    )


def listed(image: Image) -> dict[str, Any]:
    """Return an image as `image ls --json` gives it."""
    return {
        "id": str(image.id),
        "references": [references.familiar(each) for each in image.references],
        "created": image.created,
        "size_bytes": image.size_bytes,
    }


def inspected(image: Image) -> dict[str, Any]:
    """Return an image in the words of Docker's API, ImageInspect."""
    digests = {references.familiar(each) for each in image.digests} or {
        f"{references.familiar_name(each)}@{image.digest}" for each in image.references
    }
    return {
        "Id": str(image.id),
        "RepoTags": [references.familiar(each) for each in image.references],
        "RepoDigests": sorted(digests),
        "Parent": str(image.parent or ""),
        "Comment": image.comment,
        "Created": image.created,
        "DockerVersion": image.docker_version,
        "Author": image.author,
        "Architecture": image.platform.architecture,
        "Variant": image.platform.variant,
        "Os": image.platform.os,
        "Size": image.size_bytes,
        "RootFS": {"Type": "layers", "Layers": [str(each) for each in image.layers]},
        "Config": formats.dump_run_config(image.config),
    }


def _names(reference: ImageReference) -> tuple[str, str]:
    return references.familiar_name(reference), reference.tag or _NONE
