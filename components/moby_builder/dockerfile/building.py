"""One build: requests are planned and solved in it, and what comes of them is exported."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path

from moby.contracts.ambient import Clock
from moby.contracts.builder import (
    BuildFailed,
    CacheExport,
    Event,
    Export,
    Exported,
    Planned,
    Request,
    Result,
    Session,
    Target,
)
from moby.contracts.images import Image
from moby.contracts.snapshotter import Snapshotter
from moby.contracts.types import ImageReference, Platform
from moby.errors import Invalid, NotFound
from moby.values import frozen
from moby_builder.dockerfile.effects.doing import Doing
from moby_builder.dockerfile.exports.caches.reading import Reading
from moby_builder.dockerfile.exports.service import Exporting
from moby_builder.dockerfile.exports.solution import Kept, Origin, Solution, Solved
from moby_builder.dockerfile.frontend.plan import Plan, PlannedTarget
from moby_builder.dockerfile.frontend.planning import plan
from moby_builder.dockerfile.importing import Importing
from moby_builder.dockerfile.looking import Looking
from moby_builder.dockerfile.operations import ImageSource, Node
from moby_builder.dockerfile.solver.cache import Cache
from moby_builder.dockerfile.solver.effects import Cancel, Watch
from moby_builder.dockerfile.solver.imported import Imports, nothing
from moby_builder.dockerfile.solver.leases import Lease
from moby_builder.dockerfile.solver.pruning import PREFIX
from moby_builder.dockerfile.solver.records import Record, Records
from moby_builder.dockerfile.solver.results import Made, Results
from moby_builder.dockerfile.solver.solving import Solving
from moby_builder.dockerfile.solver.telling import Telling
from moby_builder.dockerfile.solver.working import Outcome, Shared

__all__ = ["Building", "Tools"]

_EPOCH = "SOURCE_DATE_EPOCH"


@frozen
class Tools:
    """What builds of an engine share."""

    records: Records
    results: Results
    snapshotter: Snapshotter
    exporting: Exporting
    reading: Reading
    shared: Shared
    clock: Clock


class Building:
    """A build that is open."""

    def __init__(
        self,
        tools: Tools,
        session: Session,
        doing: Doing,
        lease: Lease,
        tell: Callable[[Event], None],
        ended: Callable[["Building"], None],
    ) -> None:
        self._tools = tools
        self._session = session
        self._doing = doing
        self._lease = lease
        self._ended = ended
        self._importing = Importing(tools.reading, session)
        self._telling = Telling(tell, tools.clock)
        self._early = tools.exporting.early()
        self._cancel = Cancel()
        self._changed = threading.Condition()
        self._going_on = 0
        self._closed = False
        self._solutions: dict[tuple[str, ...], Solution] = {}

    def solve(self, request: Request) -> Result:
        """Build what is asked for."""
        with self._at_work() as cancel:
            begun_ns = self._tools.clock.now_ns()
            solving = self._solving(request, cancel, self._importing.of(request.cache_from))
            looking = Looking(partial(self._solving, request), self._doing, self._tools.results, self._telling, cancel)
            planned = plan(request, looking)
            self._tell(planned)
            if not planned.targets:
                return Result(answers=planned.answers)
            if request.layers:
                solving.tell_made(self._writing(planned))
            outcomes, scans = self._outcomes(solving, planned)
            targets = tuple(map(self._target, planned.targets, outcomes))
            origin = Origin(request, planned.file, planned.source, begun_ns, self._tools.clock.now_ns())
            solved = tuple(self._solved(solving, *each) for each in zip(planned.targets, outcomes, scans, strict=True))
            self._solutions[_key(targets)] = Solution(solved, origin, _epoch_s(request))
            return Result(targets, planned.answers)

    def export(
        self, result: Result, exports: Sequence[Export], caches: Sequence[CacheExport] = ()
    ) -> tuple[Exported, ...]:
        """Give a result of this build away."""
        solution = self._solutions.get(_key(result.targets))
        if solution is None:
            raise Invalid("that is no result of this build", hint="solve it first")
        with self._at_work() as cancel:
            self._early.settle()

            def begin(name: str) -> AbstractContextManager[Watch]:
                return self._telling.errand(name, cancel)

            return self._tools.exporting.export(solution, exports, caches, self._session, begin)

    @contextmanager
    def files(self, target: Target) -> Iterator[Path]:
        """Lend the root of what was built."""
        with self._at_work(), self._doing.tools.workspace.reading(self._doing.results(target.reference)) as root:
            yield root

    def image(self, reference: ImageReference, platform: Platform, *, pull: bool = False) -> Image:
        """Return the image that `FROM` would begin with."""
        name = f"resolve image config for docker-image://{reference}"
        node = Node(ImageSource(reference, platform, pull), platform=platform, name=name)
        with self._at_work() as cancel, self._telling.errand(name, cancel) as watch:
            return self._doing.image(node, watch)

    def cancel(self) -> None:
        """Make all that goes on fail."""
        self._cancel.set()

    def close(self) -> None:
        """Cancel what goes on, wait for its end, and let all go."""
        self._cancel.set()
        with self._changed:
            self._changed.wait_for(lambda: not self._going_on)
            if self._closed:
                return
            self._closed = True
        self._telling.close()
        with ExitStack() as last:
            last.callback(self._ended, self)
            last.callback(self._lease.close)
            last.callback(self._doing.close)
            last.callback(self._early.close)

    @contextmanager
    def _at_work(self) -> Iterator[Cancel]:
        """Do something in this build, which is given up with it, or at a failure by itself."""
        with self._changed:
            self._cancel.check()
            self._going_on += 1
        try:
            with self._cancel.within() as cancel:
                yield cancel
        finally:
            with self._changed:
                self._going_on -= 1
                self._changed.notify_all()

    def _solving(self, request: Request, cancel: Cancel, imports: Imports = nothing) -> Solving:
        tools = self._tools
        cache = Cache(tools.records, tools.snapshotter, self._lease, tools.clock)
        return Solving(
            cache, self._doing, self._telling, cancel, tools.shared, imports=imports, sequential=request.sequential
        )

    def _writing(self, planned: Plan) -> Callable[[Node, Record], None]:
        """Return what has the layers of targets written as soon as they are made."""
        layers = {node.digest for each in planned.targets for node in _chain(each.root)}

        def made(node: Node, record: Record) -> None:
            if node.digest in layers:
                self._early.add(record.snapshot, record.size_bytes)

        return made

    def _tell(self, planned: Plan) -> None:
        if planned.targets:
            self._telling.tell(Planned(planned.steps))
        for each in planned.findings:
            self._telling.tell(each)

    def _outcomes(self, solving: Solving, planned: Plan) -> tuple[tuple[Outcome, ...], tuple[Outcome | None, ...]]:
        """Return what comes of targets, and of scans of them where there are any."""
        count = len(planned.targets)
        scans = [each.scan for each in planned.targets if each.scan is not None]
        try:
            found = solving.solve(*(each.root for each in planned.targets), *scans)
        except BuildFailed as error:
            raise _shown(error, planned) from error
        return found[:count], found[count:] or (None,) * count

    def _target(self, planned: PlannedTarget, outcome: Outcome) -> Target:
        made = Made(outcome.tree.snapshot, outcome.identity, outcome.record, planned.config, self._tools.clock.now_ns())
        return Target(planned.platform, self._tools.results.add(made), planned.config)

    def _solved(self, solving: Solving, planned: PlannedTarget, outcome: Outcome, scan: Outcome | None) -> Solved:
        return Solved(
            planned.platform, outcome.tree.snapshot, planned.config, self._base(outcome.tree.snapshot), planned.root,
            solving.stood_for(planned.root), tuple(map(_kept, solving.records(planned.root))),
            scan.tree.snapshot if scan else None,
        )  # fmt: skip

    def _base(self, snapshot: str) -> str:
        """Return the topmost snapshot that is no builder's, below a snapshot."""
        while snapshot.startswith(PREFIX):
            try:
                snapshot = self._tools.snapshotter.stat(snapshot).parent
            except NotFound:
                return ""
        return snapshot


def _chain(node: Node) -> Iterator[Node]:
    """Yield a node, and those that its layers are on."""
    yield node
    while node.inputs:
        node = node.inputs[0]
        yield node


def _kept(record: Record) -> Kept:
    return Kept(record.keys, record.identity, record.snapshot, record.created_ns)


def _key(targets: Sequence[Target]) -> tuple[str, ...]:
    return tuple(part for each in targets for part in (str(each.platform), each.reference))


def _epoch_s(request: Request) -> int | None:
    text = request.arguments.get(_EPOCH, "")
    return int(text) if text else None


def _shown(error: BuildFailed, planned: Plan) -> BuildFailed:
    """Return a failure with the file that its lines are of."""
    return BuildFailed(
        error.message, code=error.code, vertex=error.vertex, file=planned.file, source=planned.source,
        ranges=error.ranges, hint=error.hint,
    )  # fmt: skip
