"""Options that most drivers have."""

from collections.abc import Collection, Mapping

from moby.errors import Invalid

__all__ = ["COMMON", "check_common", "own", "refuse_unknown"]

COMMON = frozenset({"env", "env-regex", "labels", "labels-regex", "tag"})
_SUPERVISORS = frozenset({"mode", "max-buffer-size"})


def own(options: Mapping[str, str]) -> dict[str, str]:
    """Return the options that are the driver's and not the supervisor's."""
    return {name: value for name, value in options.items() if name not in _SUPERVISORS}


def refuse_unknown(options: Mapping[str, str], known: Collection[str], ending: str) -> None:
    """Raise Invalid, as docker words it, for the first option that is not known."""
    for name in own(options):
        if name not in known:
            raise Invalid(f"unknown log opt '{name}' for {ending}", hint=f"there are: {', '.join(sorted(known))}")


def check_common(options: Mapping[str, str]) -> None:
    """Refuse values of the common options that can't be used; Invalid."""
    from moby_log.records.tags import check

    for name in ("labels-regex", "env-regex"):
        if options.get(name):
            from moby.expressions import check as check_expression  # which few logs have

            check_expression(options[name])
    check(options.get("tag", ""))
