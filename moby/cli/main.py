"""The `moby` command: finds the verb, imports just that one, and turns errors into lines and exit codes."""

import importlib
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from moby.errors import Invalid, MobyError, printable
from moby.host.unwinding import unwind_on

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = ["main"]

VERBS = {
    "assemble": "Generate a distribution from a manifest.",
    "boot": "Assemble a manifest as a machine and start it here.",
    "check": "Say whether a manifest assembles, and if not, why.",
    "components": "List the installed components.",
    "diff": "Say what differs between two assemblies.",
    "doctor": "Check this host for what an assembly needs.",
    "explain": "Say why each part is there, and what it is wired to.",
    "graph": "Draw an assembly: svg, html, mermaid, dot or json.",
    "lock": "Write down what a manifest resolves to.",
    "new": "Start a component, a plugin or an assembly.",
    "plugins": "List the installed plugins, including broken ones.",
    "push": "Push an assembly or a distribution to an image registry.",
    "reproduce": "Build a distribution again and compare.",
    "run": "Assemble a manifest and start its engine here.",
    "schema": "Print the JSON Schema of manifests.",
    "show": "Show all about a component.",
    "test-plugin": "Run the conformance suites against a part.",
    "why": "Say where a value comes from.",
}
BUG = 70


class Closed(Exception):
    """Nobody reads our output any more, as in `moby components | head -1`."""


@contextmanager
def _noticing_closed() -> Iterator[None]:
    """Keep from click, which would end with 1, what a shell expects to look as if the signal had ended us."""
    try:
        yield
    except BrokenPipeError as error:
        raise Closed from error


class Verbs(click.Group):
    """The verbs, each imported when it is called, so that none pays for another's imports."""

    def make_context(self, *arguments: Any, **named: Any) -> click.Context:
        """Parse, which prints `--help`."""
        with _noticing_closed():
            return super().make_context(*arguments, **named)

    def invoke(self, ctx: click.Context) -> Any:
        """Call the verb."""
        with _noticing_closed():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all verbs."""
        return sorted(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one verb."""
        if cmd_name not in VERBS:
            return None
        command: click.Command = importlib.import_module(f"moby.cli.{cmd_name.replace('-', '_')}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb, or say which one is nearest."""
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], VERBS, n=1)
            ctx.fail(f"no command {args[0]!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(sorted(VERBS.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem[str]]":
        """Complete the verbs without importing them."""
        from click.shell_completion import CompletionItem

        verbs = [CompletionItem(name, help=text) for name, text in sorted(VERBS.items()) if name.startswith(incomplete)]
        return [*verbs, *click.Command.shell_complete(self, ctx, incomplete)]


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="moby-framework", prog_name="moby")
def cli() -> None:
    """Assemble container engines out of interchangeable parts."""


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line and exit: 0 done, 1 assembly at fault, 2 usage, 3 host can't, 70 a bug, 128+n signal."""
    unwind_on((signal.SIGTERM, signal.SIGHUP))
    sys.exit(_run(arguments))


def _run(arguments: list[str] | None) -> int:
    """Run the command line, print what went wrong, and return the exit code."""
    try:
        code = cli.main(args=arguments, prog_name="moby", standalone_mode=False)
    except Closed:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # so that the interpreter's last flush doesn't fail too
        code = 128 + signal.SIGPIPE
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        code = 128 + signal.SIGINT
    except MobyError as error:
        click.echo(printable(str(error)), err=True)
        if isinstance(error, Invalid) and len(error.problems) > 1:
            click.echo(f"{len(error.problems)} problems", err=True)
        code = error.exit_code
    except OSError as error:
        code = _host_fault(error)
    except Exception:
        report()
        code = BUG
    return code if isinstance(code, int) else 0


def _host_fault(error: OSError) -> int:
    """Say what the host can't, if it is that and not a bug of ours."""
    from moby.host.faults import host_fault

    unfit = host_fault(error)
    if unfit is None:
        report()
        return BUG
    click.echo(str(unfit), err=True)
    return unfit.exit_code


def report() -> None:
    """Print the current exception as a bug of ours, and where to report it."""
    import traceback

    traceback.print_exc()
    click.echo(
        "\nThis is a bug in moby. Please report it, with the lines above, at the project's issue tracker.", err=True
    )
