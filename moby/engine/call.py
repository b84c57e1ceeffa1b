"""One call of a distribution's command line."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from moby.contracts.command import ENGINE_FAILED, EXITS_AS_CONTAINER
from moby.plan import Plan
from moby.surroundings import Roots
from moby.values import frozen

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

__all__ = ["Call"]


@frozen
class Call:
    """One call of a distribution: its plan, the flags before the verb, and what follows the verb."""

    plan: Plan
    lock: dict[str, Any]
    root: str | None
    config: Path | None
    log_level: str
    verb: str
    arguments: tuple[str, ...]
    log_form: str = "text"

    @property
    def roots(self) -> Roots:
        """The engine's folders."""
        return Roots.under(Path(self.root), self.plan.name) if self.root else Roots.usual(self.plan.name)

    def parsed(self, parser: "ArgumentParser") -> "Namespace | None":
        """Return what follows the verb as it is parsed; None where that is wrong, as was said. Help ends all."""
        try:
            return parser.parse_args(self.arguments)
        except SystemExit as error:
            if error.code:
                return None
            raise

    @property
    def least_error_code(self) -> int:
        """The least exit code of an error: 125 where all below may be a container's, else 0."""
        command = self.plan.get(f"command/{self.verb}")
        return ENGINE_FAILED if command is not None and EXITS_AS_CONTAINER in command.facts.provides else 0
