"""Collects every problem of a reading, so that a user sees all of them at once."""

from collections.abc import Iterable

from attrs import define, field

from moby.errors import Origin, Problem

__all__ = ["MOST_PROBLEMS", "Report", "nearest", "shown"]

MOST_PROBLEMS = 100
"""Beyond these a file is broken as a whole, and finding near names for each would take long."""
_SHOWN = 60


def shown(name: object) -> str:
    """Quote a foreign value for a message: on one line, and not too long."""
    text = repr(name)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def nearest(name: str, valid: Iterable[str]) -> str | None:
    """Return the valid name that is most like this one, if any is."""
    from difflib import get_close_matches

    folded = {each.lower(): each for each in sorted(valid)}
    found = get_close_matches(name[:_SHOWN].lower(), folded, n=1, cutoff=0.6)
    return folded[found[0]] if found else None


@define
class Report:
    """The problems found so far, in the order in which they were found."""

    problems: list[Problem] = field(factory=list)
    dropped: int = 0
    broken: bool = False
    """Whether a problem leaves no assembly to go on with, only to find further problems in."""
    settled: set[Origin] = field(factory=set)
    """Places whose problem is listed, so that what follows from it isn't."""
    partial: bool = False
    """Whether something that is extended couldn't be read: then what seems not to be inherited may well be."""

    def listed(self) -> tuple[Problem, ...]:
        """Return the problems file by file, each file's in the order of its lines."""
        sources: dict[str, int] = {}
        for each in self.problems:
            sources.setdefault(each.where.source if each.where else "", len(sources))

        def place(problem: Problem) -> tuple[int, int, int]:
            where = problem.where or Origin("")
            return sources[where.source], where.line, where.column

        found = sorted(self.problems, key=place)
        if self.dropped:
            found.append(Problem(f"and {self.dropped} more problems, which aren't listed"))
        return tuple(found)

    def _drops(self, *, inherited: bool) -> bool:
        """Tell whether a problem isn't listed: because it may be none, or because there are too many."""
        if inherited and self.partial:
            return True
        full = len(self.problems) >= MOST_PROBLEMS
        self.dropped += full
        return full

    def add(
        self,
        message: str,
        where: Origin | None,
        *,
        fix: str = "",
        because: tuple[str, ...] = (),
        inherited: bool = False,
        harmless: bool = False,
    ) -> None:
        """Note one problem; beyond the hundredth only how many there are.

        `inherited` is for what wouldn't be one if something more were inherited; `harmless` for what is left out of
        an assembly that can still be looked at.
        """
        self.broken |= not harmless
        if where not in self.settled and not self._drops(inherited=inherited):
            self.problems.append(Problem(message, where, because, (fix,) if fix else ()))

    def unknown(
        self,
        what: str,
        name: str,
        valid: Iterable[str],
        where: Origin | None,
        *,
        place: str = "",
        inherited: bool = False,
        harmless: bool = False,
        otherwise: str = "",
    ) -> None:
        """Note a name that isn't one of the valid ones, with the valid ones and the nearest of them.

        `otherwise` is what would fix it where none is near.
        """
        if inherited and self.partial:
            return
        names = sorted(valid)
        listing = f"valid: {', '.join(names[:40])}{', ...' if len(names) > 40 else ''}" if names else "there is none"
        # Near names aren't looked for in vain: each takes a while.
        close = nearest(name, names) if len(self.problems) < MOST_PROBLEMS else None
        guess = f", did you mean {close!r}?" if close else ""
        message = f"unknown {what} {shown(name)}{place and f' in {place}'}{guess} ({listing})"
        self.add(message, where, fix=f"write {close!r}" if close else otherwise, harmless=harmless)
