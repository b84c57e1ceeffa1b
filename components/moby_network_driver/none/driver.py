"""No network."""

from collections.abc import Mapping

from moby.errors import Invalid

__all__ = ["NoNetwork"]


class NoNetwork:
    """A network driver; see the contract."""

    name = "null"
    scope = "local"
    predefined = "none"
    creatable = False
    shares_host = False

    def check(self, options: Mapping[str, str]) -> None:
        """Refuse all options: there is nothing to choose."""
        for each in options:
            raise Invalid(f"{each!r} is no option of a {self.name} network", hint="it has none")
