"""Which front end is to listen where, and whether it would, told before anything else of an engine is there."""

from collections.abc import Mapping, Sequence
from typing import Any

from moby.engine import activation
from moby.errors import Invalid, MobyError
from moby.plan import Plan
from moby.surroundings import Surroundings, Unmade
from moby.values import evolve

__all__ = ["check", "hosts"]


def hosts(plan: Plan, given: Sequence[str], passed: Mapping[int, str] | None = None) -> dict[str, list[str]]:
    """Return the addresses of each front end by its key; none is where its own options say.

    A socket that systemd passed and named as a front end is that one's, where `fd://` stands for all. Invalid for a
    front end that there is not, and for an address that is given twice.
    """
    known = plan.of_kind("frontend")
    found: dict[str, list[str]] = {each.key: [] for each in known}
    seen: dict[str, str] = {}
    for text in given:
        name, equals, address = text.partition("=")
        if not equals or "://" in name:
            name, address = known[0].name, text
        if f"frontend/{name}" not in found:
            names = ", ".join(each.name for each in known)
            raise Invalid(f"--host {text}: no front end {name!r}; there are {names}")
        for each in activation.expanded(address, passed or {}):
            _note(seen, each, text)
            fd = each.removeprefix("fd://")
            of = (passed or {}).get(int(fd), "") if fd != each and fd.isdigit() and not equals else ""
            found[f"frontend/{of}" if f"frontend/{of}" in found else f"frontend/{name}"].append(each)
    return found


def _note(seen: dict[str, str], address: str, text: str) -> None:
    """Remember who gave an address; Invalid where somebody did already, but for ports of which there are many."""
    if address in seen and not address.endswith(":0"):
        twice = f"--host {text}: {address} is given twice"
        raise Invalid(f"{twice}, by --host {seen[address]} too", hint="leave one of them out")
    seen[address] = text


def check(
    plan: Plan, addresses: Mapping[str, Sequence[str]], opened: Mapping[str, Mapping[str, Any]], around: Surroundings
) -> None:
    """Raise what front ends would at their addresses, while no other part has been given anything of the host's.

    Of those that have none here, not even their own, the options alone are looked at.
    """
    from moby.wiring import construct

    roots = around.roots
    unmade = evolve(around, roots=Unmade(roots.state, roots.run, roots.cache, roots.engine))
    for each in plan.of_kind("frontend"):
        behind = dict.fromkeys(key for binding in each.bindings.values() for key in binding.targets)
        try:
            part = construct(each, behind, unmade, opened.get(each.key))
        except MobyError:
            if each.policy in ("optional", "skip-if-unfit"):
                continue  # left out in its turn, which is told then
            raise
        if each.key in addresses:
            _check_one(part, each.key, addresses[each.key])


def _check_one(part: Any, key: str, addresses: Sequence[str]) -> None:
    try:
        part.check(addresses)
    except MobyError as error:
        error.message = f"{key}: {error.message}"
        raise
