"""What goes on: the builds of a front end and the sessions of its clients, by the names that calls know them by."""

from typing import TYPE_CHECKING

from moby.values import field, frozen
from moby_frontend.docker.buildkit.known import Known

if TYPE_CHECKING:
    from moby.contracts.builder import Build
    from moby_frontend.docker.buildkit.jobs import Job
    from moby_frontend.docker.buildkit.session.client import ClientSession

__all__ = ["Building", "Called"]


@frozen
class Called:
    """A build by one call, and the session that its client lends it."""

    build: "Build"
    session: str


@frozen
class Building:
    """Builds by the names that clients give them, and sessions by their ids."""

    jobs: "Known[Job]" = field(factory=Known)
    sessions: "Known[ClientSession]" = field(factory=Known)
    calls: "Known[Called]" = field(factory=Known)
    """Builds by `POST /build`, of those whose clients give them a name."""

    def lends(self, session: "ClientSession") -> bool:
        """Return whether a build goes on that has a session."""
        lent = (*(each.asked.session for each in self.jobs.all()), *(each.session for each in self.calls.all()))
        return session.identity in lent
