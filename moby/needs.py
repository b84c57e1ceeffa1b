"""Whether a host has what a component needs of it, and how `doctor` says so."""

import importlib.util
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from attrs import evolve

from moby.component import HostNeed
from moby.host import facts
from moby.plan import Instance, Plan

__all__ = ["COLUMNS", "Check", "check", "checks", "judge", "needs_of", "row"]

_RECOMMENDED = "recommended"
"""The policy of a need that a part does without."""

_ENCLOSED = facts.Probe(True, "the engine is root in its enclosure")

Check = dict[str, Any]
COLUMNS = ("component", "need", "met", "detail", "fix")


def needs_of(instance: Instance) -> tuple[HostNeed, ...]:
    """Return what a part needs of its host, as its options have it."""
    return tuple(
        evolve(need, name=str(instance.config[need.option])) if instance.config.get(need.option) else need
        for need in instance.facts.host
    )


def judge(need: HostNeed) -> facts.Probe:
    """Try a need here; may start the binary that is asked about with `--version`, for five seconds at most."""
    found = facts.probe(need.what, need.name, need.version, package=need.package)
    brought = next((each for each in need.module.split() if not found.ok and _is_importable(each)), "")
    return facts.Probe(True, f"the Python package {brought} brings it") if brought else found


def _is_importable(module: str) -> bool:
    with suppress(ModuleNotFoundError):  # the package that the module would be in
        return importlib.util.find_spec(module) is not None
    return False


def checks(plan: Plan, judged: Callable[[HostNeed], facts.Probe] = judge) -> list[Check]:
    """Return how each need of a plan's parts is judged here; its enclosure, where it has one, brings root."""
    enclosed = bool(plan.of_kind("enclosure"))

    def found(need: HostNeed) -> facts.Probe:
        return _ENCLOSED if enclosed and (need.what, need.name) == ("privilege", "root") else judged(need)

    return [check(part.key, part.policy, need, found(need)) for part in plan.instances for need in needs_of(part)]


def check(component: str, policy: str, need: HostNeed, seen: facts.Probe) -> Check:
    """Return how a need of a part was judged, as JSON has it."""
    return {
        "component": component, "need": f"{need.what} {need.name}{need.version}", "ok": seen.ok,
        "detail": seen.detail + (f"; {need.why}" if need.optional and not seen.ok else ""),
        "fix": "" if seen.ok else seen.fix, "policy": _RECOMMENDED if need.optional else policy,
    }  # fmt: skip


def row(of: Check) -> list[str]:
    """Return a check as a table has it; an engine goes on without a part that it may leave out."""
    unmet = {"required": "UNMET", "": "UNMET", _RECOMMENDED: "unmet, goes without"}
    met = "ok" if of["ok"] else unmet.get(of["policy"], "unmet, so left out")
    return [of["component"], of["need"], met, of["detail"], of["fix"]]
