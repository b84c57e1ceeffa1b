"""The workshop: all that builds are done with, put together once somebody builds."""

from collections.abc import Sequence

from moby.contracts.builder import Keep, Session
from moby.errors import NotFound
from moby.values import frozen
from moby_builder.dockerfile.building import Tools
from moby_builder.dockerfile.effects import doing
from moby_builder.dockerfile.effects.cache_mounts import CacheMounts
from moby_builder.dockerfile.effects.repositories import Repositories
from moby_builder.dockerfile.effects.running import Running
from moby_builder.dockerfile.effects.workspace import Workspace
from moby_builder.dockerfile.exports.caches.mounts import CarriedMounts
from moby_builder.dockerfile.exports.caches.reading import Reading
from moby_builder.dockerfile.exports.service import Exporting
from moby_builder.dockerfile.exports.times import Times
from moby_builder.dockerfile.keeping import KeptCheckouts, KeptContexts, KeptMounts
from moby_builder.dockerfile.parts import Parts, Policy
from moby_builder.dockerfile.policy import rules
from moby_builder.dockerfile.solver.cache import is_committed
from moby_builder.dockerfile.solver.effects import Tree
from moby_builder.dockerfile.solver.leases import Lease, Leases
from moby_builder.dockerfile.solver.pruning import Pruning, Stores
from moby_builder.dockerfile.solver.records import Records
from moby_builder.dockerfile.solver.results import Results
from moby_builder.dockerfile.solver.working import Shared

__all__ = ["Workshop"]


@frozen
class Workshop:
    """What builds of an engine share."""

    tools: Tools
    effects: doing.Tools
    leases: Leases
    pruning: Pruning
    policy: Policy

    @classmethod
    def of(cls, parts: Parts, policy: Policy) -> "Workshop":
        """Put it together."""
        workspace = Workspace(parts.snapshotter, parts.place.run / "mounts")
        mounts = CacheMounts(parts.snapshotter, workspace, parts.metadata, parts.place.run / "caches", parts.clock)
        running = Running(
            parts.supervisor, parts.networks, workspace, mounts, parts.log, most_processes=policy.most_processes
        )
        effects = doing.Tools.of(
            parts.images, parts.content, parts.snapshotter, parts.metadata, workspace, running, parts.place, parts.clock
        )
        carried = CarriedMounts(mounts, parts.snapshotter, parts.content)
        exporting = Exporting(
            parts.images, parts.content, parts.snapshotter, parts.registry, parts.metadata, workspace, carried
        )
        times = Times(parts.snapshotter, parts.metadata)
        reading = Reading(parts.images, parts.content, parts.registry, times, carried)
        records, leases = Records(parts.metadata), Leases(parts.place.run)
        tools = Tools(
            records, Results(parts.metadata), parts.snapshotter, exporting,
            reading, Shared.new(policy.parallel), parts.clock,
        )  # fmt: skip
        kept = (
            KeptMounts(mounts), KeptContexts(effects.folders),
            KeptCheckouts(Repositories(parts.place.state / "git")),
        )  # fmt: skip
        stores = Stores(
            records, leases, parts.snapshotter, parts.images, kept, tools.results, parts.place.state,
            effects.contents.forget,
        )  # fmt: skip
        return cls(tools, effects, leases, Pruning(stores, parts.clock), policy)

    def doing(self, session: Session, lease: Lease) -> doing.Doing:
        """Return what does the operations of one build, whose lease keeps the results that it begins with."""

        def found(reference: str) -> Tree:
            made = self.tools.results.get(reference)
            held = not made.record or lease.hold(made.record)
            if held and is_committed(self.tools.snapshotter, made.snapshot):
                return Tree(made.snapshot)
            raise NotFound(f"the result {reference} isn't kept any more", hint="build it again")

        return doing.Doing(self.effects, session, found)

    def rules(self) -> Sequence[Keep]:
        """Return what is kept without being asked."""
        return rules(self.policy.keep_bytes, self.effects.place.state)

    def sweep(self) -> None:
        """Remove what killed builds left; nobody builds meanwhile."""
        self.effects.sweep()
        self.pruning.sweep()

    def close(self) -> None:
        """Give back what is kept for the next build."""
        self.effects.running.close()
