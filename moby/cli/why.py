"""`moby why`: where a value comes from."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from moby.cli import parameters

if TYPE_CHECKING:
    from moby.manifest.assembly import Assembly, Setting
    from moby.manifest.provenance import Provenance


def _complete(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Return the paths that the manifest, as typed before, has a value at."""
    from moby import manifest

    assembly = manifest.read(context.params["file"]).assembly
    return sorted(each for each in assembly.origins if each.startswith(incomplete)) if assembly else []


@click.command("why")
@parameters.manifest()
@click.argument("path", shell_complete=_complete)
@parameters.sets
@parameters.as_json("Print the chain as JSON.")
def command(file: str, path: str, sets: tuple[str, ...], as_json: bool) -> None:
    """Say what the value at PATH of FILE is, what set it, and what that overrode.

    PATH is as in components.runtime.config.binary; of a kind with several parts it names one, as in
    components.frontend.readonly.config.socket. A path of several values lists them all.
    """
    from moby.cli import output, session
    from moby.manifest.provenance import provenance

    assembly = session.assembly(file, sets)
    catalog = session.catalog()
    found = provenance(
        _with_filled_in(assembly, path, file, sets), path, lambda kind, use: catalog.get(f"{kind}/{use}")
    )
    if as_json:
        output.emit_json({"schema": 1, "values": [_data(each) for each in found]})
        return
    for each in found:
        for line in _lines(each):
            click.echo(line)


def _with_filled_in(assembly: "Assembly", path: str, file: str, sets: tuple[str, ...]) -> "Assembly":
    """Add what resolution fills in, if the path asks for a kind that the assembly leaves open."""
    from attrs import evolve

    from moby.cli import session
    from moby.errors import MobyError, Origin
    from moby.manifest.assembly import Choice, Setting
    from moby.manifest.paths import join, split

    names = split(path) or ("",)
    kind = names[1] if names[0] == "components" and len(names) > 1 else names[0]
    if join("components", kind) in assembly.origins or path in assembly.origins:
        return assembly
    try:
        instances = session.plan(file, sets)[2].of_kind(kind)
    except MobyError:
        return assembly
    origins = dict(assembly.origins)
    for each in instances:
        use = join("components", kind, each.name, "use")
        origins[use] = (Setting(each.facts.name, Origin(f"resolution: {each.reason}")),)
    choices = tuple(Choice(kind, each.facts.name, each.name) for each in instances)
    return evolve(assembly, choices=assembly.choices + choices, origins=origins)


def _data(found: "Provenance") -> dict[str, Any]:
    return {
        "path": found.path,
        "value": found.value,
        "chain": [_setting(each) for each in found.chain],
        "parameters": [_data(each) for each in found.parameters],
    }


def _setting(setting: "Setting") -> dict[str, Any]:
    origin = setting.origin
    return {
        "value": setting.value,
        "written": setting.written,
        "source": origin.source,
        "line": origin.line,
        "column": origin.column,
    }


def _lines(found: "Provenance", indent: str = "") -> Iterator[str]:
    yield f"{indent}{found.path} = {_text(found.value)}"
    for at, setting in enumerate(found.chain):
        over = f"over {_text(setting.value)}" if at else ""
        written = f", written {_text(setting.written)}" if setting.written else ""
        if setting.origin.source.startswith("default of"):
            yield f"{indent}  {over}{', ' if at else ''}{setting.origin}"
        elif setting.value is None:
            yield f"{indent}  removed at {setting.origin}"
        else:
            yield f"{indent}  {over or 'set'} at {setting.origin}{written}"
    for parameter in found.parameters:
        yield from _lines(parameter, indent + "    ")


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
