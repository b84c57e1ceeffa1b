"""`moby doctor`: what this host can, and whether that is what an assembly needs."""

from typing import TYPE_CHECKING

import click

from moby.cli import parameters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from moby.component import Facts, HostNeed
    from moby.host.facts import Probe
    from moby.needs import Check

UNFIT = 3


@click.command("doctor")
@parameters.manifest(required=False)
@parameters.sets
@parameters.target("Judge these facts instead of this host.")
@click.option(
    "--facts", is_flag=True, help="Print this host's facts as JSON, for `--target` and `distribution.target`."
)
@parameters.as_json("Print the checks as JSON.")
def command(file: str | None, sets: tuple[str, ...], target: str, facts: bool, as_json: bool) -> None:
    """Check this host for exactly what FILE's engine needs; without FILE, for what any installed part needs.

    Exits with 3 if a part that FILE requires lacks something on this host, and suggests edits of FILE that avoid it.
    """
    from moby.cli import output, session

    if facts:
        from moby.target import host_facts

        output.emit_json(host_facts(session.catalog()))
        return
    judge = _judge(target)
    if file is None:
        _show(_of_all(session.catalog().components.values(), judge), [], as_json)
        return
    from moby.needs import checks

    _, _, plan = session.plan(file, sets, target="any")
    found = checks(plan, judge)
    unfit = any(not check["ok"] and check["policy"] == "required" for check in found)
    _show(found, _other_providers(file, sets, target or "host") if unfit else [], as_json)
    if unfit:
        raise click.exceptions.Exit(UNFIT)


def _judge(target: str) -> "Callable[[HostNeed], Probe]":
    """Return what judges a need: trying this host, or the facts of another."""
    from moby.host.facts import satisfies
    from moby.needs import judge
    from moby.target import target_facts

    if target == "any":
        raise click.BadParameter(
            "`any` stands for no particular host; name host or a facts file", param_hint="--target"
        )
    if target in ("", "host"):
        return judge
    facts = target_facts(target) or {}
    return lambda need: satisfies(facts, need.what, need.name, need.version, package=need.package)


def _of_all(components: "Iterable[Facts]", judge: "Callable[[HostNeed], Probe]") -> "list[Check]":
    """Judge every need of components, which are in no assembly."""
    from moby.needs import check

    return [check(each.id, "", need, judge(need)) for each in components for need in each.host]


def _other_providers(file: str, sets: tuple[str, ...], target: str) -> list[str]:
    """Return edits of the manifest that make it fit the host, each resolved before it is offered."""
    from moby.cli import session
    from moby.errors import Invalid

    try:
        session.plan(file, sets, target)
    except Invalid as error:
        return list(dict.fromkeys(fix for problem in error.problems for fix in problem.fixes))
    return []


def _show(checks: "list[Check]", fixes: list[str], as_json: bool) -> None:
    from moby.cli import output
    from moby.needs import COLUMNS, row

    if as_json:
        output.emit_json({"schema": 1, "checks": checks, "fixes": fixes})
        return
    output.table(COLUMNS, [row(each) for each in checks])
    for fix in fixes:
        click.echo(f"or change the assembly: {fix}", err=True)
