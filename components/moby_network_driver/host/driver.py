"""The host's own network."""

from collections.abc import Mapping

from moby.errors import Invalid

__all__ = ["HostNetwork"]


class HostNetwork:
    """A network driver; see the contract."""

    name = "host"
    scope = "local"
    predefined = "host"
    creatable = False
    shares_host = True

    def check(self, options: Mapping[str, str]) -> None:
        """Refuse all options: the host's network is as it is."""
        for each in options:
            raise Invalid(f"{each!r} is no option of a {self.name} network", hint="it has none")
