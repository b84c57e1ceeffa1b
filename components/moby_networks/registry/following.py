"""Follows what engines of other hosts do to the networks that all of them know."""

from collections.abc import Collection
from typing import TYPE_CHECKING

from moby.errors import MobyError
from moby.host.liveness import HOUR_NS, Liveness
from moby.host.lookout import Lookout
from moby_networks.registry.context import Context, Failures
from moby_networks.registry.joining import Joining
from moby_networks.registry.returning import come_back
from moby_networks.registry.shared import Shared

if TYPE_CHECKING:
    from collections.abc import Mapping

    from moby.contracts.discovery import Presence
    from moby_networks.registry.records import Known

__all__ = ["Following"]


class Following:
    """A thread that has containers of other hosts be found by name, and takes down networks that others removed.

    It gives up hosts that have gone for good, too.
    """

    def __init__(self, context: Context, joining: Joining, shared: Shared, known: Collection[str]) -> None:
        self._context, self._joining, self._shared = context, joining, shared
        self._liveness = Liveness(shared.count_on, context.clock.monotonic_ns, context.gone_hours * HOUR_NS)
        self._seen = -1
        # Those that are known from before are told anew, or not there any more.
        self._far: Mapping[str, tuple[Presence, ...]] = dict.fromkeys(known, ())
        self._networks: Mapping[str, Known] = {}
        self._lookout = Lookout(self._look, self._fails, "networks")

    def close(self) -> None:
        """End it."""
        self._lookout.close()

    def _fails(self, error: MobyError | OSError) -> None:
        self._context.log.warning("what other hosts do to networks can't be followed", reason=str(error))

    def _look(self) -> None:
        self._give_up()
        revision = self._shared.revision()
        if revision == self._seen and not self._shared.given_up:
            return
        self._shared.notice()
        come_back(self._context, self._joining, self._shared)
        failures = Failures()
        failures.run(self._give_back)
        far, discovery = self._shared.far(), self._context.discovery
        for known, presences in far.items():
            if self._far.get(known) != presences:
                failures.run(discovery.enter, known, None, presences)
        for known in set(self._far) - set(far):
            failures.run(discovery.leave, known)
        there = {each.network.id: each for each in self._context.records.shared_networks()}
        for network_id in set(self._networks) - set(there):
            gone = self._networks[network_id]
            self._context.made.discard(network_id)
            failures.run(self._context.driver(gone.network.driver).unmake, gone.segment)
        failures.tell()
        self._far, self._networks, self._seen = far, there, revision

    def _give_up(self) -> None:
        """Forget hosts that have gone for good."""
        for host, count in self._liveness.look().items():
            if self._shared.bury(host, count):
                self._context.log.warning(
                    f"host {host[:12]} has shown no sign of life for {self._context.gone_hours} hours: names and "
                    "addresses of its containers are nobody's any more"
                )

    def _give_back(self) -> None:
        """Have the IPAM know that nobody has what such hosts had; each host does so, whoever is first."""
        for network_id, taker in self._shared.left():
            known = self._context.records.network(network_id)
            if not taker:
                self._context.ipam(self._shared.ipam).give_back(network_id)
            elif known is not None:
                self._context.ipam(known.network.ipam_driver).unassign(network_id, taker)
            self._shared.given_back(network_id, taker)
