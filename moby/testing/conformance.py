"""Suites for parts as wiring makes them: options at their defaults, needs filled with what is installed.

`python -m moby.testing.conformance SPEC.json REPORT.json` runs the suite of one part in a process of its own.
"""

import importlib.util
import json
import os
import pkgutil
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from attrs import evolve, frozen

from moby import plan as plans
from moby.component import PROGRAM, facts_of
from moby.contracts.ambient import Place
from moby.contracts.command import EXITS_AS_CONTAINER
from moby.errors import MobyError, NotFound, Unsupported
from moby.resolution import alone
from moby.testing import serving

__all__ = ["Promise", "Wired", "promises", "suite_for", "suite_name", "suite_of"]


@frozen
class Promise:
    """One promise of a contract: whether a part keeps it, and else why.

    `outcome` is `ok`, `failed`, `skipped`, or `refused`, where the part itself says by name that it lacks this.
    """

    test: str
    text: str
    outcome: str
    reason: str = ""


@frozen
class Wired:
    """A part and what it needs, as a plan."""

    plan: plans.Plan
    key: str

    served: bool = False
    """Whether it has a process of its own, whatever it says itself."""

    def make(self, place: Place, stack: ExitStack | None = None) -> Any:
        """Make the part with its place, after all that it needs; with a stack, enter what holds resources."""
        instance = self.plan.get(self.key)
        apart = self.served or (instance is not None and instance.facts.served == PROGRAM)
        return (serving.served if apart else serving.made)(self.plan, self.key, place, stack)


def suite_name(kind: str) -> str:
    """Return the class that a kind's suite has in `moby.testing.KIND`: `NetworkDriverSuite`."""
    return "".join(word.capitalize() for word in kind.split("-")) + "Suite"


def suite_for(wired: Wired) -> type | None:
    """Return the suite of a part's kind with its fixtures filled; None where there is none, or no way to fill it."""
    kind = wired.key.partition("/")[0]
    fill = FIXTURES.get(kind)
    name = f"moby.testing.{kind.replace('-', '_')}"
    if fill is None or importlib.util.find_spec(name) is None:
        return None
    # The package was imported before the test run, which alone can have assertions tell their values.
    names = [f"moby.testing.{each.name}" for each in pkgutil.iter_modules([str(Path(__file__).parent)])]
    pytest.register_assert_rewrite(*(each for each in names if each not in sys.modules))
    suite = getattr(importlib.import_module(name), suite_name(kind))
    found: type = type(f"Test{suite_name(kind)}", (suite,), dict(fill(wired)))
    return found


def suite_of(plugin: ModuleType, component: str) -> type:
    """Return the suite of a component, by its id, that a plugin module declares; its needs are what is installed.

    For a test module of the plugin's, which gives it a name that begins with `Test`. NotFound where the kind has no
    suite yet.
    """
    from moby import registry

    catalog = registry.discover()
    facts = [facts_of(each, module=plugin.__name__) for each in plugin.moby_components()]
    components = {**catalog.components, **{each.id: each for each in facts}}
    found = suite_for(Wired(alone(component, evolve(catalog, components=components)), component))
    if found is None:
        raise NotFound(f"there is no suite for {component.partition('/')[0]}")
    return found


def promises(wired: Wired, folder: Path) -> tuple[Promise, ...]:
    """Run the suite of a part in this process, and return what became of each promise."""
    recorder = _Recorder()
    spec = folder / "spec.json"
    spec.write_text(
        json.dumps({"plan": plans.dump(wired.plan), "key": wired.key, "served": wired.served}), encoding="utf-8"
    )
    test = folder / "test_conformance.py"
    test.write_text(
        f"from moby.testing import conformance\nTestPart = conformance.suite_for(conformance.read({str(spec)!r}))\n",
        encoding="utf-8",
    )
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    options = [
        "-q",
        "-p",
        "no:cacheprovider",
        "-c",
        str(folder / "pytest.ini"),
        f"--rootdir={folder}",
        f"--basetemp={folder / 'tmp'}",
    ]
    pytest.main([*options, str(test)], plugins=[recorder])
    return tuple(recorder.found)


def read(spec: str) -> Wired:
    """Return the part that a spec file describes."""
    data = json.loads(Path(spec).read_bytes())
    return Wired(plans.load(data["plan"]), data["key"], served=bool(data.get("served")))


class _Recorder:
    """Notes each test's promise and outcome."""

    def __init__(self) -> None:
        self.found: list[Promise] = []
        self._texts: dict[str, str] = {}
        self._refused: set[str] = set()

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        function = getattr(item, "function", None)
        name = item.name.partition("[")[0].removeprefix("test_").replace("_", " ")
        doc = (function.__doc__ or "").strip().partition("\n")[0] if function else ""
        case = f" [{item.name.partition('[')[2]}" if "[" in item.name else ""
        self._texts[item.nodeid] = f"{name}{case}{f': {doc}' if doc else ''}"

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if call.excinfo is not None and isinstance(call.excinfo.value, Unsupported):
            self._refused.add(report.nodeid)
        return report

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.found.append(Promise(report.nodeid, "the suite can be loaded", "failed", _last_line(report)))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" and report.outcome == "passed":
            return
        outcome = {"passed": "ok"}.get(report.outcome, report.outcome)
        reason = ""
        if report.skipped and isinstance(report.longrepr, tuple):
            reason = report.longrepr[2].removeprefix("Skipped: ")
        elif report.failed:
            reason = _last_line(report)
            if report.nodeid in self._refused:
                outcome = "refused"
        self.found = [each for each in self.found if each.test != report.nodeid or each.outcome != "ok"]
        self.found.append(Promise(report.nodeid, self._texts.get(report.nodeid, report.nodeid), outcome, reason))


def _last_line(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Return the error's own words."""
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash else report.longreprtext
    lines = [line for line in str(text).splitlines() if line.strip()]
    return " ".join(lines[:2])[:300] if lines else ""


def _place(folder: Path) -> Place:
    place = Place(folder / "state", folder / "run", folder / "cache", "suite")
    for each in (place.state, place.run, place.cache):
        each.mkdir(parents=True, exist_ok=True)
    return place


def _runtime(wired: Wired) -> Mapping[str, Any]:
    @pytest.fixture
    def make_runtime(self: Any) -> Callable[[Place], Any]:
        return wired.make

    return {"make_runtime": make_runtime}


def _packager(wired: Wired) -> Mapping[str, Any]:
    @pytest.fixture
    def packager(self: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
        return wired.make(_place(tmp_path_factory.mktemp("place")))

    def start(self: Any, folder: Path, artifact: Any) -> str:
        pytest.skip("how to start an artifact is the format's own: subclass PackagerSuite")

    with tempfile.TemporaryDirectory() as temporary:
        chain = [each.make(_place(Path(temporary, str(number)))) for number, each in enumerate(_chain(wired))]
    return {
        "packager": packager,
        "start": start,
        "before": tuple(chain[:-1]),
        "carries_native": _carries_native(chain),
    }


def _chain(wired: Wired) -> list[Wired]:
    """Return what makes what a packager takes, and itself last."""
    chain: list[Wired] = []
    key = wired.key
    while key:
        chain.insert(0, Wired(wired.plan, key))
        instance = wired.plan.get(key)
        key = instance.takes if instance else ""
    return chain


def _carries_native(chain: Sequence[Any]) -> bool:
    """Whether a format takes native modules; it may, or it refuses them by name, which the suite then looks at."""
    from moby.testing.packager import NATIVE, SOURCE, built_in_chain

    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary, "out")
        out.mkdir()
        entries = tuple(sorted([*SOURCE.entries, NATIVE], key=lambda entry: entry.path))
        try:
            built_in_chain(chain, evolve(SOURCE, entries=entries), Path(temporary, "before"), out)
        except MobyError:
            return False
    return True


def _command(wired: Wired) -> Mapping[str, Any]:
    @pytest.fixture
    def command(self: Any, tmp_path: Path) -> Iterator[Any]:
        with ExitStack() as stack:
            yield wired.make(_place(tmp_path), stack)

    # These end with a container's exit code, which 125 can't be taken for.
    instance = wired.plan.get(wired.key)
    usage = 125 if instance is not None and EXITS_AS_CONTAINER in instance.facts.provides else 2
    return {"command": command, "usage_code": usage}


def _images(wired: Wired) -> Mapping[str, Any]:
    @pytest.fixture
    def store(self: Any, tmp_path: Path) -> Callable[[], Any]:
        return lambda: wired.make(_place(tmp_path))

    return {"store": store}


def _image_registry(wired: Wired) -> Mapping[str, Any]:
    from moby.contracts.types import ImageReference

    @pytest.fixture
    def registry(self: Any, tmp_path: Path) -> Any:
        return wired.make(_place(tmp_path))

    @pytest.fixture
    def name(self: Any, request: pytest.FixtureRequest) -> Callable[[str], ImageReference]:
        host = os.environ.get("MOBY_TEST_IMAGE_REGISTRY", "")
        if not host and wired.key == "image-registry/distribution":
            pytest.skip("needs a service to talk to: set MOBY_TEST_IMAGE_REGISTRY to its HOST:PORT")
        test = "".join(each if each.isalnum() else "-" for each in request.node.name.lower()).strip("-")
        return lambda word: ImageReference(host or "example.org", f"tests/{test}/{word}", "1")

    return {"registry": registry, "name": name}


def _content(wired: Wired) -> Mapping[str, Any]:
    @pytest.fixture
    def store(self: Any, tmp_path: Path) -> Iterator[Callable[[], Any]]:
        with ExitStack() as stack:
            if wired.served:  # a lease is of the process that gave it, which all clients share
                only = wired.make(_place(tmp_path), stack)
                yield lambda: only
            else:
                yield lambda: wired.make(_place(tmp_path), stack)

    return {"store": store}


def _metadata(wired: Wired) -> Mapping[str, Any]:
    @pytest.fixture
    def store(self: Any, tmp_path: Path) -> Iterator[Callable[[], Any]]:
        with ExitStack() as stack:
            yield lambda: wired.make(_place(tmp_path), stack)

    return {"store": store}


def _events(wired: Wired) -> Mapping[str, Any]:
    @pytest.fixture
    def events(self: Any, tmp_path: Path) -> Iterator[Any]:
        with ExitStack() as stack:
            yield wired.make(_place(tmp_path), stack)

    return {"events": events}


def _snapshotter(wired: Wired) -> Mapping[str, Any]:
    @pytest.fixture
    def store(self: Any, tmp_path: Path) -> Iterator[Callable[[], Any]]:
        with ExitStack() as stack:
            yield lambda: wired.make(_place(tmp_path / "place"), stack)

    return {"store": store}


def _log_driver(wired: Wired) -> Mapping[str, Any]:
    @pytest.fixture
    def driver(self: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
        return wired.make(_place(tmp_path_factory.mktemp("place")))

    return {"driver": driver, "elsewhere": wired.served, "settling_s": 30.0 if wired.served else 0.0}


def _volume_driver(wired: Wired) -> Mapping[str, Any]:
    @pytest.fixture
    def driver(self: Any, tmp_path: Path) -> Iterator[Callable[[], Any]]:
        with ExitStack() as stack:
            yield lambda: wired.make(_place(tmp_path), stack)

    return {"driver": driver}


def _volumes(wired: Wired) -> Mapping[str, Any]:
    from moby.testing.volumes import Given

    @pytest.fixture
    def given(self: Any, tmp_path: Path) -> Iterator[Given]:
        with ExitStack() as stack:
            yield Given(lambda: wired.make(_place(tmp_path), stack))

    return {"given": given}


def _network_driver(wired: Wired) -> Mapping[str, Any]:
    from moby.testing.network_driver import Given

    @pytest.fixture
    def given(self: Any, host: None, tmp_path: Path) -> Iterator[Given]:
        with ExitStack() as last:

            def start() -> Any:
                last.close()  # its engine has one process at a time
                return wired.make(_place(tmp_path), last)

            yield Given(start)

    return {"given": given}


def _networks(wired: Wired) -> Mapping[str, Any]:
    from moby.testing.networks import Given

    @pytest.fixture
    def given(self: Any, tmp_path: Path) -> Iterator[Given]:
        with ExitStack() as stack:
            yield Given(lambda: wired.make(_place(tmp_path), stack))

    return {"given": given}


def _supervisor(wired: Wired) -> Mapping[str, Any]:
    from moby.testing.bundles import Bundles, config, make_rootfs

    @pytest.fixture
    def supervisor(self: Any, tmp_path: Path) -> Iterator[Any]:
        with ExitStack() as stack:
            yield wired.make(_place(tmp_path / "place"), stack)

    @pytest.fixture
    def bundle(self: Any, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
        bundles = Bundles(tmp_path / "bundles", make_rootfs(tmp_path_factory.mktemp("rootfs")))
        names = (str(number) for number in range(1000))

        def make(*arguments: str, terminal: bool = False) -> Path:
            return bundles.make(next(names), config(arguments, rootless=os.geteuid() != 0, terminal=terminal))

        return make

    def process(self: Any, script: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = config(["sh", "-c", script], rootless=os.geteuid() != 0)["process"]
        return found

    return {"supervisor": supervisor, "bundle": bundle, "process": process}


def _frontend(wired: Wired) -> Mapping[str, Any]:
    @pytest.fixture
    def start(self: Any, tmp_path: Path) -> Iterator[Callable[[], Any]]:
        with ExitStack() as stack:
            yield lambda: wired.make(_place(tmp_path), stack)

    return {"start": start}


def _ipam(wired: Wired) -> Mapping[str, Any]:
    @pytest.fixture
    def open_ipam(self: Any, tmp_path: Path) -> Iterator[Callable[[], Any]]:
        instance = wired.plan.get(wired.key)
        if instance is not None and "nothing" in instance.facts.provides:
            pytest.skip("this part hands out nothing")
        with ExitStack() as stack:
            yield lambda: wired.make(_place(tmp_path), stack)

    return {"open_ipam": open_ipam}


def _whole(wired: Wired) -> Any:
    """Return the fixture of an engine around the part, for all tests of its suite."""
    from moby.testing.engines import whole

    def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
        with whole(wired.plan, tmp_path_factory.mktemp("whole")) as found:
            yield found

    return pytest.fixture(scope="class")(staticmethod(engine))


def _orchestrator(wired: Wired) -> Mapping[str, Any]:
    from moby.contracts.orchestrator import ClusterSpec, OrchestratorFeature
    from moby.testing.orchestrator import World

    instance = wired.plan.get(wired.key)
    features = frozenset(instance.facts.provides if instance else ())

    def world_of(engine: Any) -> World:
        def again() -> World:
            engine.again()
            return world_of(engine)

        return World(
            engine.part("orchestrator"),
            features,
            engine.part("containers"),
            engine.part("networks"),
            engine.part("volumes"),
            restart=again,
            network_driver="bridge",
        )

    @pytest.fixture
    def world(self: Any, engine: Any) -> World:
        found = world_of(engine)
        if OrchestratorFeature.CLUSTER in features and found.orchestrator.cluster().state() is None:
            found.orchestrator.cluster().create(ClusterSpec())
        return found

    return {"engine": _whole(wired), "world": world}


def _containers(wired: Wired) -> Mapping[str, Any]:
    from moby.testing.containers import World

    @pytest.fixture
    def world(self: Any, engine: Any) -> World:
        return World(engine.part("containers"), engine.part("events"))

    return {"engine": _whole(wired), "world": world}


def _builder(wired: Wired) -> Mapping[str, Any]:
    from moby.testing.builder import Workshop

    @pytest.fixture
    def workshop(self: Any, engine: Any, tmp_path: Path) -> Workshop:
        return Workshop(engine.part("builder"), engine.part("images"), tmp_path)

    return {"engine": _whole(wired), "workshop": workshop}


def _discovery(wired: Wired) -> Mapping[str, Any]:
    from moby.testing.discovery import Given, NamesSuite
    from moby.testing.outliving import Outliving

    @pytest.fixture(autouse=True)
    def host(self: Any) -> None:
        if os.geteuid():
            pytest.skip("making network namespaces takes root")

    @contextmanager
    def start(self: Any) -> Iterator[Given]:
        with tempfile.TemporaryDirectory() as folder, closing_part(folder) as found:
            yield Given(found.part, found.again)

    @contextmanager
    def closing_part(folder: str) -> Iterator[Outliving]:
        found = Outliving(wired.plan, wired.key, Path(folder), served=wired.served)
        try:
            yield found
        finally:
            found.end()

    @pytest.fixture(autouse=True)
    def offered(self: Any, request: pytest.FixtureRequest, given: Given) -> None:
        if hasattr(NamesSuite, request.function.__name__) and not given.part.serves_names:
            pytest.skip("this part serves no names")

    return {"host": host, "start": start, "offered": offered}


def _enclosure(wired: Wired) -> Mapping[str, Any]:
    @pytest.fixture
    def make_enclosure(self: Any) -> Callable[[Place], Any]:
        return wired.make

    return {"make_enclosure": make_enclosure}


def _tracer(wired: Wired) -> Mapping[str, Any]:
    from moby.contracts.tracer import TracerFeature
    from moby.testing.collector import Collector, collecting

    instance = wired.plan.get(wired.key)
    seen = instance is not None and TracerFeature.OTLP in instance.facts.provides

    @pytest.fixture
    def collector(self: Any) -> Iterator[Collector]:
        with collecting() as found:
            yield found

    @pytest.fixture
    def running(self: Any) -> Iterator[ExitStack]:
        with ExitStack() as stack:
            yield stack

    @pytest.fixture
    def tracer(self: Any, collector: Collector, running: ExitStack, tmp_path: Path) -> Any:
        chosen = _with_options(wired, endpoint=collector.endpoint) if seen else wired
        return chosen.make(_place(tmp_path), running)

    @pytest.fixture
    def told(self: Any, tracer: Any, collector: Collector, running: ExitStack) -> Callable[[], Any]:
        def ask() -> Any:
            running.close()
            if not seen:
                pytest.skip("how it tells is its own: subclass TracerSuite, or have it offer `otlp`")
            return collector.told()

        return ask

    return {"collector": collector, "running": running, "tracer": tracer, "told": told}


def _with_options(wired: Wired, **options: object) -> Wired:
    instances = tuple(
        evolve(each, config={**each.config, **options}) if each.key == wired.key else each
        for each in wired.plan.instances
    )
    return evolve(wired, plan=evolve(wired.plan, instances=instances))


FIXTURES: Mapping[str, Callable[[Wired], Mapping[str, Any]]] = {
    "builder": _builder,
    "command": _command,
    "containers": _containers,
    "discovery": _discovery,
    "enclosure": _enclosure,
    "events": _events,
    "frontend": _frontend,
    "image-registry": _image_registry,
    "content": _content,
    "images": _images,
    "ipam": _ipam,
    "metadata": _metadata,
    "log-driver": _log_driver,
    "network-driver": _network_driver,
    "networks": _networks,
    "orchestrator": _orchestrator,
    "packager": _packager,
    "runtime": _runtime,
    "snapshotter": _snapshotter,
    "supervisor": _supervisor,
    "tracer": _tracer,
    "volume-driver": _volume_driver,
    "volumes": _volumes,
}
"""By kind, what fills its suite's fixtures with a part."""


def main(spec: str, report: str) -> None:
    """Run the suite that a spec file asks for, and write the report."""
    folder = Path(spec).parent
    found = promises(read(spec), folder)
    data = [{"test": each.test, "promise": each.text, "outcome": each.outcome, "reason": each.reason} for each in found]
    Path(report).write_text(json.dumps(data), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
