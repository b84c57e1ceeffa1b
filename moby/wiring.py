"""From a plan to instances: imports each component's module, builds its config, and hands it what it needs."""

import importlib
from collections.abc import Mapping
from typing import Any, get_type_hints

from moby.component import Arity, Component
from moby.errors import Invalid, MobyError, NotFound, Unsupported
from moby.options import structure
from moby.plan import Binding, Instance, Plan
from moby.surroundings import Surroundings
from moby.values import evolve

__all__ = ["Missing", "component_of", "config_of", "construct", "construct_all", "protocol_of"]


class Missing(MobyError):
    """An instance can't be made because one that it needs isn't running."""

    exit_code = 3


def construct(
    instance: Instance, made: Mapping[str, Any], around: Surroundings, settings: Mapping[str, Any] | None = None
) -> Any:
    """Make one instance out of those that it needs, which are in `made` by key; nothing starts.

    `settings` are values for options that the assembly left open. Missing names a need that isn't in `made`;
    NotFound a component that its module no longer has; Invalid an option that its config class refuses.
    """
    component = component_of(instance)
    arguments: dict[str, Any] = {}
    for parameter, what in instance.facts.ambient.items():
        arguments[parameter] = _ambient(what, instance.key, around)
    for parameter, binding in instance.bindings.items():
        arguments[parameter] = _bound(instance, parameter, binding, made)
    config = _config(component, instance, settings or {})
    return component.factory(config, **arguments) if config is not None else component.factory(**arguments)


def construct_all(plan: Plan, around: Surroundings) -> dict[str, Any]:
    """Make all instances of a plan whose parts hold no resources, such as packagers."""
    made: dict[str, Any] = {}
    for instance in plan.instances:
        made[instance.key] = construct(instance, made, around)
    return made


def component_of(instance: Instance) -> Component:
    """Import an instance's plugin module, and no other, and return its component."""
    facts = instance.facts
    try:
        module = importlib.import_module(facts.module)
    except ImportError as error:
        raise NotFound(
            f"{instance.key}: its module {facts.module} can't be imported: {error}",
            hint=f"install {facts.distribution or 'the distribution that brings it'} again",
        ) from error
    for component in module.moby_components():
        if component.name == facts.name and _kind_of(component) == facts.kind:
            return component  # type: ignore[no-any-return]
    raise NotFound(
        f"{instance.key}: module {facts.module} no longer has a component {facts.id}",
        hint=f"lock the assembly again, or install {facts.distribution or 'the distribution that brought it'} again",
    )


def protocol_of(instance: Instance) -> type:
    """Import an instance's plugin module, and return the contract that its factory says it provides."""
    found: type = get_type_hints(component_of(instance).factory)["return"]
    return found


def _kind_of(component: Component) -> str:
    from moby.contracts.kind import kind_of

    kind = kind_of(get_type_hints(component.factory).get("return"))
    return kind.id if kind else ""


def _ambient(what: str, key: str, around: Surroundings) -> Any:
    match what:
        case "place":
            return evolve(around.roots.place(key), parts=around.parts)
        case "clock":
            return around.clock
        case "log":
            return around.log(key)
        case "keeper" if around.keeper is not None:
            return around.keeper
        case "keeper":
            raise Unsupported(f"{key} needs a keeper, which only a served process has", hint="start it with its engine")
    raise Invalid(f"{key} asks for {what!r}, which this framework doesn't offer", hint="lock the assembly again")


def _bound(instance: Instance, parameter: str, binding: Binding, made: Mapping[str, Any]) -> Any:
    present = [target for target in binding.targets if target in made]
    if binding.arity is Arity.EACH and present:
        return {target.partition("/")[2]: made[target] for target in present}
    if binding.arity is not Arity.EACH and present:
        return made[present[0]]
    if binding.arity is Arity.OPTIONAL:
        return None
    wanted = ", ".join(binding.targets) or "nothing"
    raise Missing(f"{instance.key} needs {wanted} as {parameter!r}, which is not running")


def config_of(component: Component) -> type | None:
    """Return the class of a component's options, None where its factory takes none."""
    import inspect

    first = next(iter(inspect.signature(component.factory).parameters.values()), None)
    if first is None or first.kind is inspect.Parameter.KEYWORD_ONLY:
        return None
    found: type = get_type_hints(component.factory)[first.name]
    return found


def _config(component: Component, instance: Instance, settings: Mapping[str, Any]) -> Any:
    """Build the component's config, or return None where its factory takes none."""
    config = config_of(component)
    if config is None:
        return None
    try:
        return structure(config, {**instance.config, **settings})
    except Invalid as error:
        problems = tuple(evolve(each, message=f"{instance.key}: {each.message}") for each in error.problems)
        raise Invalid(f"{instance.key}: {error.message}", problems=problems, hint=error.hint) from error
