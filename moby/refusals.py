"""What components' own rules refuse of the options that an assembly gives them, beyond what schemas say."""

from collections.abc import Iterator, Mapping

from attrs import fields

from moby.component import Component
from moby.errors import Problem
from moby.manifest.assembly import Assembly
from moby.options import refusals
from moby.plan import Instance, Plan
from moby.wiring import component_of, config_of

__all__ = ["refused"]


def refused(assembly: Assembly, *plans: Plan) -> tuple[Problem, ...]:
    """Return a problem for each option that is refused, of parts to which the assembly gives some.

    The plugin modules of these are imported, and no others. What can't be imported here, and rules over several options
    one of which is open, are left to the engine's start.
    """
    given = _given(assembly)
    found: list[Problem] = []
    taken: dict[tuple[str, str], str] = {}
    for instance in (each for plan in plans for each in plan.instances if each.key in given):
        component = _imported(instance)
        config = config_of(component) if component is not None else None
        if config is not None:
            found += _of(instance, config, given[instance.key], assembly)
            found += _taken(instance, config, given[instance.key], assembly, taken)
    return tuple(found)


def _given(assembly: Assembly) -> Mapping[str, str]:
    """Return where in the assembly options are, by the keys of those that they are given to."""
    choices = (each for each in assembly.choices if each.config or each.open)
    found = {f"{each.kind}/{each.name}": f"{each.path}.config" for each in choices}
    return found | {f"packager/{name}": f"distribution.config.{name}" for name in assembly.distribution.config}


def _of(instance: Instance, config: type, path: str, assembly: Assembly) -> Iterator[Problem]:
    """Yield what a part's own rules refuse."""
    for each in refusals(config, instance.config):
        if not (each.reads - {each.option}) & set(instance.open):
            fixes = (each.fix,) if each.fix else ()
            yield _problem(instance, each.option, each.message, path, assembly, fixes)


def _taken(
    instance: Instance, config: type, path: str, assembly: Assembly, taken: dict[tuple[str, str], str]
) -> Iterator[Problem]:
    """Yield what only one part can have (`metadata["alone"]`), and an earlier one has."""
    for each in fields(config):
        value = instance.config.get(each.alias)
        if each.metadata.get("alone") and value and each.alias not in instance.open:
            first = taken.setdefault((each.alias, str(value)), instance.key)
            if first != instance.key:
                yield _problem(instance, each.alias, f"{first} has {value!r} already", path, assembly, ())


def _problem(
    instance: Instance, option: str, message: str, path: str, assembly: Assembly, fixes: tuple[str, ...]
) -> Problem:
    where = assembly.where(f"{path}.{option}")
    why = f"{instance.key} is {instance.reason}"
    return Problem(f"option {option} of {instance.facts.id}: {message}", where, (why,), fixes)


def _imported(instance: Instance) -> Component | None:
    try:
        return component_of(instance)
    except Exception:  # whatever strangers' modules raise; what they need may be on the target host alone
        return None
