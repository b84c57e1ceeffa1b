"""`moby explain`: why each part is there, and what it is wired to."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from moby.cli import parameters

if TYPE_CHECKING:
    from moby.plan import Instance, Plan


@click.command("explain")
@parameters.manifest()
@parameters.sets
@parameters.target("The host to resolve for; else as the manifest says.")
@parameters.as_json("Print the explanation as JSON.")
def command(file: str, sets: tuple[str, ...], target: str, as_json: bool) -> None:
    """Say of each part of FILE why it is there and what it gets, in the order in which they start.

    Where FILE can't be assembled, print chains of reasons, and the single edits that would fix it.
    """
    from moby.cli import output, session
    from moby.errors import Invalid

    try:
        _, _, plan = session.plan(file, sets, target)
    except Invalid as error:
        if as_json:
            output.emit_json({"schema": 1, "ok": False, "problems": [output.problem(each) for each in error.problems]})
            raise click.exceptions.Exit(error.exit_code) from None
        raise
    if as_json:
        instances = [_instance(each, number) for number, each in enumerate(plan.instances, 1)]
        data = {"schema": 1, "ok": True, "name": plan.name, "instances": instances, "skipped": dict(plan.skipped)}
        output.emit_json(data)
        return
    for line in _lines(plan):
        click.echo(line)


def _lines(plan: "Plan") -> Iterator[str]:
    count = len(plan.instances)
    yield f"{plan.name}: {count} component{'' if count == 1 else 's'}, in the order in which they start"
    for number, instance in enumerate(plan.instances, 1):
        yield ""
        name = "" if instance.name == instance.facts.name else f" ({instance.facts.id})"
        yield f"{number:3}. {instance.key}{name} {instance.facts.version}"
        for reason in _why(plan, instance):
            yield f"       because {reason}"
        for parameter, binding in sorted(instance.bindings.items()):
            yield f"       gets {', '.join(binding.targets) or 'nothing'} as {parameter}"
        if instance.processes != ("engine",):
            yield f"       lives in {_home(instance)}"
        if instance.policy != "required":
            yield f"       policy {instance.policy}"
    for key, reason in sorted(plan.skipped.items()):
        yield ""
        yield f"     {key} is left out: {reason}"


def _home(instance: "Instance") -> str:
    """Say in which process a part lives (`moby.placement`)."""
    if instance.processes == (instance.key,):
        return "a process of its own" + (", which outlives the engine" if instance.facts.served == "outlives" else "")
    homes = ["the engine" if each == "engine" else f"the process of {each}" for each in instance.processes]
    return " and ".join(homes)


def _why(plan: "Plan", instance: "Instance") -> Iterator[str]:
    """Yield the reasons from a part up to the choice that led to it."""
    seen = set[str]()
    while instance.key not in seen:
        seen.add(instance.key)
        yield instance.reason if not instance.reason.startswith("chosen") else f"{instance.key} is {instance.reason}"
        consumer = plan.get(instance.reason.partition(" needs ")[0])
        if instance.reason.startswith("chosen") or consumer is None:
            return
        instance = consumer


def _instance(instance: "Instance", number: int) -> Mapping[str, Any]:
    return {
        "start": number,
        "key": instance.key,
        "component": instance.facts.id,
        "version": instance.facts.version,
        "reason": instance.reason,
        "default": instance.default,
        "policy": instance.policy,
        "processes": list(instance.processes),
        "bindings": {parameter: list(binding.targets) for parameter, binding in instance.bindings.items()},
    }
