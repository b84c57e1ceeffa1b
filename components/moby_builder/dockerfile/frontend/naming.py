"""Names of steps, as progress shows them: `[build 2/5] RUN make`."""

from collections.abc import Mapping
from contextlib import suppress

from moby.contracts.builder import BuildFailed
from moby_builder.dockerfile.frontend import platforms
from moby_builder.dockerfile.frontend.stages import Site
from moby_builder.dockerfile.frontend.surroundings import Surroundings
from moby_builder.dockerfile.language import words

__all__ = ["counted", "shown", "summary"]


def counted(site: Site, text: str, around: Surroundings, *, again: bool = False) -> str:
    """Return the name of a stage's next step; with `again`, of the same once more."""
    if not site.total:
        return text
    site.shown += not again
    prefix = ""
    if around.several and site.platform is not None:
        prefix = f"{site.platform}{platforms.short_change(site.platform, site.environment)} "
    if site.label:
        prefix += f"{site.label} "
    number = str(site.shown).rjust(len(str(site.total)))
    return f"[{prefix}{number}/{site.total}] {text}"


def shown(text: str, variables: Mapping[str, str], around: Surroundings, *, raw: bool = False) -> str:
    """Return an instruction as a step's name has it: variables put in; `raw` leaves quotes and what isn't set."""
    # It is but a name: what is wrong with it is told where it matters.
    with suppress(BuildFailed):
        text = words.expand(text, variables, escape=around.escape, keep_quotes=raw, keep_missing=raw).text
    keyword, space, rest = text.partition(" ")
    return keyword.upper() + space + rest


def summary(document: str) -> str:
    """Return the first line of a here-document."""
    first, *others = document.strip().replace("\r\n", "\n").split("\n")
    return first + ("..." if others else "")
