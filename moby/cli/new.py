"""`moby new`: starts a component, a plugin or an assembly."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from moby.cli import parameters

if TYPE_CHECKING:
    from moby.scaffold.rendering import Files


@click.group("new")
def command() -> None:
    """Start a component, a plugin or an assembly from a working example."""


@command.command("plugin")
@click.argument("name")
@click.option("--kind", default="command", show_default=True, metavar="KIND", help="The kind of part that it brings.")
@parameters.place("DIR", "Make the folder NAME in this one.", default=Path())
def new_plugin(name: str, kind: str, out: Path) -> None:
    """Write a whole Python package that brings a component, in a folder NAME: source, tests, licence."""
    from importlib.metadata import version

    from moby.scaffold import rendering

    framework = ".".join(version("moby-framework").split(".")[:2])
    files = rendering.plugin(name, kind, framework)
    folder = out / name
    _write(files, folder)
    # pip would look for a bare name in the index.
    local = folder if folder.is_absolute() else f"./{folder}"
    click.echo(f"{folder}: try `moby test-plugin {folder}`, then `pip install {local}`")


@command.command("component")
@click.argument("id", metavar="KIND/NAME")
@parameters.place("DIR", "The framework's source tree.", default=Path())
def new_component(id: str, out: Path) -> None:
    """Write a component into the framework's own tree."""
    from moby.errors import Invalid
    from moby.scaffold import rendering

    kind, slash, name = id.partition("/")
    if not slash:
        raise Invalid(f"{id!r} is no component's id", hint="write KIND/NAME, as in command/hello")
    files = rendering.component(kind, name)
    if not (out / "components").is_dir():
        raise Invalid(f"{out} is not the framework's tree: it has no folder components", hint="moby new plugin NAME")
    _write(files, out)
    package = next(iter(files)).parts[1]
    _complete_package(out / "components" / package, kind)
    module = f"{package}.{name.replace('-', '_')}.plugin"
    click.echo(f'Add to [project.entry-points."moby.components"] in pyproject.toml:\n"{kind}.{name}" = "{module}"')


@command.command("assembly")
@click.argument("name")
@parameters.place("DIR", "Write it into this folder.", default=Path())
def new_assembly(name: str, out: Path) -> None:
    """Write a manifest with a comment at each line."""
    from moby.scaffold import rendering

    _write(rendering.assembly(name), out)
    click.echo(f"{out / name}.yaml: try `moby check {out / name}.yaml`")


def _complete_package(folder: Path, kind: str) -> None:
    """Make the folder of a kind an import package, where this is its first component."""
    if not (folder / "__init__.py").exists():
        (folder / "__init__.py").write_text(f'"""Components of the kind {kind}."""\n', encoding="utf-8")
        (folder / "py.typed").touch()


def _write(files: "Files", folder: Path) -> None:
    """Write files that aren't there yet: all of them, or none."""
    from moby.errors import Conflict, HostUnfit

    there = sorted(str(folder / path) for path in files if (folder / path).exists())
    if there:
        raise Conflict(f"{there[0]} is there already", hint="take another name, or move it away")
    written: list[Path] = []
    try:
        for path, text in files.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("x", encoding="utf-8") as file:
                written.append(target)
                file.write(text)
    except OSError as error:
        for target in written:
            target.unlink()
        raise HostUnfit(
            f"can't write {error.filename}: {error.strerror}", hint="name another folder with -o"
        ) from error
