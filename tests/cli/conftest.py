"""The command line in this process, over components that tests make up, in a folder of the test's own."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from attrs import frozen

from moby.cli import main, session
from moby.component import Arity, Facts, HostNeed, Need
from moby.registry import Catalog

ENDING = (signal.SIGTERM, signal.SIGHUP)


@frozen
class Done:
    """How a call ended, and what it printed."""

    code: int
    out: str
    err: str


Moby = Callable[..., Done]


def part(id: str, *, needs: tuple[Need, ...] = (), host: tuple[HostNeed, ...] = (), preferred: bool = False) -> Facts:
    kind, name = id.split("/")
    return Facts(
        id=id,
        kind=kind,
        name=name,
        version="1.0",
        contract=1,
        distribution="parts 1.0",
        module=f"parts.{name}",
        summary=f"The part {name}.",
        needs=needs,
        host=host,
        preferred=preferred,
        many=kind in ("runtime", "command", "packager"),
    )


PARTS = (
    part("command/run", needs=(Need("supervisor", "supervisor"),)),
    part("packager/pyz"),
    part("runtime/native", preferred=True),
    part("runtime/runc", host=(HostNeed("binary", "runc-of-tests", ">=1.1", package="runc-pack", why="starts them"),)),
    part("supervisor/foreground", needs=(Need("runtimes", "runtime", Arity.EACH),), preferred=True),
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """The command line takes signals over for good, as it should; not from the tests."""
    before = {number: signal.getsignal(number) for number in ENDING}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Catalog:
    catalog = Catalog({each.id: each for each in PARTS})
    monkeypatch.setattr(session, "catalog", lambda: catalog)
    return catalog


@pytest.fixture
def moby(capsys: pytest.CaptureFixture[str]) -> Moby:
    """Call the command line as a shell does."""

    def call(*arguments: object) -> Done:
        with pytest.raises(SystemExit) as ended:
            main.main([str(each) for each in arguments])
        printed = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Done(ended.value.code, printed.out, printed.err)

    return call


@pytest.fixture
def engine(folder: Path) -> Path:
    """A manifest that resolves with what is `installed`."""
    path = folder / "engine.yaml"
    path.write_text("moby: 1\nname: engine\ncomponents:\n  command: run\n  runtime: runc\n")
    return path
