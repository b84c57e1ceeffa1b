"""Docker's filters of images."""

import fnmatch
import operator
import re
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta

from moby.contracts.images import Filters, Image
from moby.contracts.types import ImageReference
from moby.errors import Invalid
from moby.oci import reference as references
from moby.values import evolve

__all__ = ["LISTED", "PRUNED", "dangling_of", "fitting", "moment", "predicate"]

LISTED = frozenset({"dangling", "label", "before", "since", "reference", "until"})
PRUNED = frozenset({"dangling", "label", "label!", "until"})
_TRUE, _FALSE = frozenset({"1", "true"}), frozenset({"0", "false"})
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_DURATION = re.compile(r"(?:\d+(?:\.\d*)?|\.\d+)(?:h|ms|us|µs|ns|m|s)")
_FORMS = (
    "%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M%z", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H%z",
    "%Y-%m-%dT%H", "%Y-%m-%d%z", "%Y-%m-%d",
)  # fmt: skip


def dangling_of(filters: Filters) -> bool | None:
    """Return what `dangling` asks for; None where it doesn't."""
    values = filters.get("dangling", ())
    for each in values:
        if each.lower() not in _TRUE | _FALSE:
            raise Invalid(f"invalid filter 'dangling={each[:80]}'", hint="write true or false")
    return values[0].lower() in _TRUE if values else None


def predicate(
    filters: Filters, known: Collection[str], find: Callable[[str], Image], now: datetime
) -> Callable[[Image], bool]:
    """Return what says whether an image passes; Invalid for filters that aren't known."""
    for key in filters:
        if key not in known:
            raise Invalid(f"invalid filter '{key[:80]}'", hint=f"known are {', '.join(sorted(known))}")
    tests: list[Callable[[Image], bool]] = []
    dangling = dangling_of(filters)
    if dangling is not None and "reference" in known:
        tests.append(lambda image: (not image.references) is dangling)
    for each in filters.get("label", ()):
        tests.append(_labelled(each))
    for each in filters.get("label!", ()):
        tests.append(_unlabelled(each))
    tests += [_made(operator.lt, _known(find(each).created)) for each in filters.get("before", ())]
    tests += [_made(operator.gt, _known(find(each).created)) for each in filters.get("since", ())]
    tests += [_made(operator.lt, moment(each, now)) for each in filters.get("until", ())]
    patterns = filters.get("reference", ())
    if patterns:
        tests.append(lambda image: any(_fits(each, patterns) for each in (*image.references, *image.digests)))
    return lambda image: all(test(image) for test in tests)


def _made(compare: Callable[[datetime, datetime], bool], limit: datetime | None) -> Callable[[Image], bool]:
    """Return what compares when an image was made, which isn't known of all; no limit keeps all, as with Docker."""

    def passes(image: Image) -> bool:
        made = _known(image.created)
        return limit is None or (made is not None and compare(made, limit))

    return passes


def _known(created: str) -> datetime | None:
    found = re.match(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)?$", created)
    if not found:
        return None
    fraction = (found[2] or ".0")[:7]
    try:
        return datetime.fromisoformat(found[1] + fraction.ljust(7, "0") + (found[3] or "Z").replace("Z", "+00:00"))
    except ValueError:
        return None


def moment(text: str, now: datetime) -> datetime:
    """Return the moment that Docker takes a text for: seconds since the epoch, a date, or a duration ago."""
    if re.fullmatch(r"\d{1,11}(?:\.\d{1,9})?", text):
        return datetime.fromtimestamp(float(text), UTC)
    parts = _DURATION.findall(text.removeprefix("-"))
    if parts and "".join(parts) == text.removeprefix("-"):
        seconds = sum(float(each.rstrip("hmsunµ")) * _UNITS[each.lstrip("0123456789.")] for each in parts)
        try:
            return now - timedelta(seconds=seconds)
        except OverflowError:
            raise Invalid(f"{text[:80]!r} is longer ago than any time", hint="write a shorter while") from None
    plain = re.sub(r"(:\d\d)\.\d+", r"\1", text).replace("Z", "+0000")
    for form in _FORMS:
        try:
            found = datetime.strptime(plain, form)  # made aware below
        except ValueError:
            continue
        return found if found.tzinfo else found.replace(tzinfo=now.tzinfo)
    raise Invalid(f"{text[:80]!r} is no time", hint="write 24h, 2024-01-02T15:04:05 or seconds since 1970")


def _labelled(text: str) -> Callable[[Image], bool]:
    key, equals, value = text.partition("=")
    return lambda image: key in image.config.labels and (not equals or image.config.labels[key] == value)


def _unlabelled(text: str) -> Callable[[Image], bool]:
    labelled = _labelled(text)
    return lambda image: not labelled(image)


def fitting(image: Image, patterns: Sequence[str]) -> Image:
    """Return an image with those of its names alone that fit one of the patterns, where there are any."""
    if not patterns:
        return image
    names, digests = (
        tuple(each for each in found if _fits(each, patterns)) for found in (image.references, image.digests)
    )
    return evolve(image, references=names, digests=digests)


def _fits(name: ImageReference, patterns: Sequence[str]) -> bool:
    full, bare = references.familiar(name), references.familiar_name(name)
    for pattern in patterns:
        wanted = references.familiar(references.parse(pattern, default_tag=False)) if _is_plain(pattern) else pattern
        if _glob(full, wanted) or _glob(bare, wanted) or _glob(str(name), wanted):
            return True
    return False


def _is_plain(pattern: str) -> bool:
    try:
        references.parse(pattern, default_tag=False)
    except Invalid:
        return False
    return True


def _glob(text: str, pattern: str) -> bool:
    """Match part by part, as Go's path.Match: `*` passes no slash."""
    texts, patterns = text.split("/"), pattern.split("/")
    return len(texts) == len(patterns) and all(
        fnmatch.fnmatchcase(*pair) for pair in zip(texts, (each.replace("[^", "[!") for each in patterns), strict=True)
    )
