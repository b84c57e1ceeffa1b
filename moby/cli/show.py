"""`moby show`: all about one component."""

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import click

from moby.cli import parameters

if TYPE_CHECKING:
    from moby.component import Conflicting, Facts, HostNeed, Option


def _complete(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    from moby.cli import session

    return [each for each in session.catalog().components if each.startswith(incomplete)]


@click.command("show")
@click.argument("component", shell_complete=_complete)
@parameters.as_json("Print all facts as JSON.")
def command(component: str, as_json: bool) -> None:
    """Show a COMPONENT (`kind/name`, or the name where that is unique): what it is, needs, offers, and its options."""
    from moby.cli import output, session
    from moby.component import dump_facts

    facts = session.catalog().find(component)
    if as_json:
        output.emit_json({"schema": 1, **dump_facts(facts)})
        return
    for line in _lines(facts):
        click.echo(line)


def _lines(facts: "Facts") -> Iterator[str]:
    from moby.scaffold.option_types import type_text

    yield f"{facts.id} {facts.version}"
    yield f"  {facts.summary}"
    yield f"  from          {facts.distribution} ({facts.module})"
    yield f"  contract      {facts.kind} {facts.contract}"
    if facts.preferred:
        yield f"  preferred     fills the kind {facts.kind} where an assembly names none"
    yield from _section("offers", facts.provides)
    yield from _section("demands", [f"every {each.kind} offers {', '.join(each.features)}" for each in facts.demands])
    yield from _section("needs", [_need(each.kind, each.arity.value, each.features) for each in facts.needs])
    yield from _section("given", sorted(facts.ambient.values()))
    yield from _section("host", [_host(each) for each in facts.host])
    yield from _section("conflicts", [_conflict(each) for each in facts.conflicts])
    yield from _section("brings", facts.brings)
    if facts.options:
        yield ""
        yield "options"
    for option in facts.options:
        yield f"  {option.name}: {type_text(option.schema)}{_default(option)}"
        if option.help:
            yield f"      {option.help}"


def _section(title: str, items: Iterable[str]) -> Iterator[str]:
    for index, each in enumerate(items):
        yield f"  {title if index == 0 else '':13} {each}"


def _need(kind: str, arity: str, features: tuple[str, ...]) -> str:
    count = {"one": f"one {kind}", "each": f"every chosen {kind}", "optional": f"a {kind} if there is one"}[arity]
    return count + (f" that offers {', '.join(features)}" if features else "")


def _host(need: "HostNeed") -> str:
    text = f"{need.what} {need.name}{need.version}"
    package = f" (package {need.package})" if need.package else ""
    return f"{text}{package}{' (optional)' if need.optional else ''}{f': {need.why}' if need.why else ''}"


def _conflict(conflict: "Conflicting") -> str:
    what = conflict.component or f"any {conflict.kind}" + (f" with {conflict.feature}" if conflict.feature else "")
    return what + (f": {conflict.why}" if conflict.why else "")


def _default(option: "Option") -> str:
    return ", must be given" if option.required else f" = {json.dumps(option.default, ensure_ascii=False)}"
