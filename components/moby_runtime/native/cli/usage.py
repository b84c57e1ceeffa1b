"""Help and version."""

from __future__ import annotations

import sys

from moby_runtime.native.cli.flags import LIST, SWITCH, Flag
from moby_runtime.native.cli.verbs import GLOBAL, VERBS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

__all__ = ["SPEC_VERSION", "print_usage", "print_version", "version"]

SPEC_VERSION = "1.3.0"
"""The release of the runtime specification that this runtime follows."""


def version() -> str:
    """Return the version of this runtime."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as version_of

    try:
        return version_of("moby-framework")
    except PackageNotFoundError:  # run from a tree that isn't installed
        return "0"


def print_version() -> int:
    """Print versions, a line each, as engines read runc's."""
    python = ".".join(str(number) for number in sys.version_info[:3])
    print(f"moby-runtime version {version()}\nspec: {SPEC_VERSION}\npython: {python}")  # noqa: T201
    return 0


def print_usage(name: str = "", file: TextIO | None = None) -> int:
    """Print how to use the command, or one verb."""
    verb = VERBS.get(name)
    if verb is None:
        lines = [
            "usage: moby-runtime [FLAG...] VERB ...",
            "",
            "Makes containers of bundles (OCI runtime specification).",
            "",
            "verbs:",
        ]
        lines += [f"  {each:10} {VERBS[each].summary}" for each in VERBS]
        lines += ["", "flags:", *_lines(GLOBAL)]
    else:
        lines = [f"usage: moby-runtime {name} [FLAG...] {verb.usage}".rstrip(), "", verb.summary]
        if verb.flags:
            lines += ["", "flags:", *_lines(verb.flags)]
    print("\n".join(lines), file=file or sys.stdout)
    return 0


def _lines(flags: tuple[Flag, ...]) -> list[str]:
    found = []
    for name, letter, kind, text in flags:
        if text:
            takes = "" if kind == SWITCH else f" {kind.removesuffix('...') if kind == LIST else kind}"
            spelt = f"{f'-{letter}, ' if letter else '    '}--{name}{takes}"
            found.append(f"  {spelt:30} {text}")
    return found
