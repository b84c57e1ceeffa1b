"""Arguments and options that several verbs have, the same in each, and what a shell completes for them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = ["as_json", "engines_own", "formats", "kind", "manifest", "output", "place", "sets", "target"]

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
MANIFESTS = (".yaml", ".yml")
DISTRIBUTIONS = (
    *MANIFESTS, ".lock.json", ".pyz", ".binary", ".deb", ".rpm", ".oci", ".tar.zst", ".tree", ".raw", ".efi", ".iso",
    ".qcow2", ".vmdk", ".vhdx", ".vhd",
)  # fmt: skip
MOST_ENTRIES = 500
"""Of a folder, looked at for a completion: a shell waits for it."""


def manifest(name: str = "file", *, required: bool = True, suffixes: Sequence[str] = MANIFESTS) -> Decorator:
    """Return an argument that names a manifest, or a shipped assembly; others that end with `suffixes` too."""

    def complete(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> "list[CompletionItem[str]]":
        from moby.manifest.sources import shipped

        names = [each for each in shipped() if each.startswith(incomplete)]
        return _items([*names, *_files(incomplete, tuple(suffixes))])

    return click.argument(name, required=required, shell_complete=complete)


def _path_and_value(_context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    for each in values:
        if not each.partition("=")[0] or "=" not in each:
            hint = "; as in --set components.runtime=native"
            raise click.BadParameter(f"{each!r} is not PATH=VALUE{hint}", param=parameter)
    return values


sets = click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="PATH=VALUE",
    callback=_path_and_value,
    help="Set a value of the manifest; may be repeated.",
)


def target(help: str) -> Decorator:
    """Return the option that names the host which is resolved for."""

    def complete(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> "list[CompletionItem[str]]":
        names = [each for each in ("any", "host") if each.startswith(incomplete)]
        return _items([*names, *_files(incomplete, (".json",))])

    return click.option("--target", default="", metavar="any|host|FACTS.json", help=help, shell_complete=complete)


def as_json(help: str) -> Decorator:
    """Return the flag for data instead of text."""
    return click.option("--json", "as_json", is_flag=True, help=help)


def formats(help: str) -> Decorator:
    """Return the option that names formats of distributions, for which there are packagers."""

    def complete(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
        from moby.cli import session

        return [each.name for each in session.catalog().of_kind("packager") if each.name.startswith(incomplete)]

    return click.option("--format", "formats", multiple=True, metavar="FORMAT", help=help, shell_complete=complete)


def kind(help: str) -> Decorator:
    """Return the option that names a kind of components."""

    def complete(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
        from moby.cli import session

        return [each for each in session.catalog().kinds() if each.startswith(incomplete)]

    return click.option("--kind", default="", metavar="KIND", help=help, shell_complete=complete)


output = click.option(
    "-o",
    "--output",
    "out",
    default="-",
    metavar="FILE",
    type=click.Path(allow_dash=True),
    help="Write to this file instead of standard output.",
)


def place(metavar: str, help: str, *, default: Path | None = None) -> Decorator:
    """Return the option that says where files are written."""
    return click.option(
        "-o",
        "--output",
        "out",
        default=default,
        show_default=default is not None,
        metavar=metavar,
        type=click.Path(path_type=Path),
        help=help,
    )


def _items(values: Iterable[str]) -> "list[CompletionItem[str]]":
    """Return completions; where there is none the shell is asked to complete files by itself."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(each) for each in values] or [CompletionItem("", type="file")]


def _files(incomplete: str, suffixes: tuple[str, ...]) -> list[str]:
    """Return the files that begin with what was typed; of a folder that does, those right in it."""
    folder, _, begun = incomplete.rpartition("/")
    prefix = f"{folder}/" if "/" in incomplete else ""
    found = []
    for entry in _entries(Path(prefix or "."), begun):
        if entry.is_dir():
            inside = [f"{prefix}{entry.name}/{each.name}" for each in _entries(entry) if each.is_file()]
        else:
            inside = [f"{prefix}{entry.name}"]
        found += [each for each in inside if each.endswith(suffixes)]
    return sorted(found)


def _entries(folder: Path, begun: str = "") -> Iterator[Path]:
    """Yield what is in a folder, hidden things just where asked for; nothing where it can't be read."""
    try:
        for entry in islice(folder.iterdir(), MOST_ENTRIES):
            if entry.name.startswith(begun) and (begun or not entry.name.startswith(".")):
                yield entry
    except OSError:
        return


def engines_own(verb: click.Command, arguments: tuple[str, ...], also: Sequence[str] = ()) -> tuple[str, ...]:
    """Return what follows FILE, which is the engine's: without a `--` that leads it.

    UsageError where it begins with an option of the verb's that the engine hasn't `also`.
    """
    given = arguments[0].partition("=")[0] if arguments else ""
    options = (each for each in verb.params if isinstance(each, click.Option))
    own = {name for each in options for name in (*each.opts, *each.secondary_opts)}
    if given in own.difference(also):
        raise click.UsageError(f"{given} is behind FILE, where the engine's own command is; put it before FILE")
    return arguments[1:] if given == "--" else arguments
