"""Inspection outlives what plugins do in it, and nothing of that outlives the inspection."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sites import Site, part, reasons

from moby.registry import Catalog, enclosure
from moby.registry.inspection import MAX_LINE, inspect
from moby.registry.installed import Entry

Found = Callable[..., Catalog]

START = """
import os, subprocess, sys, time
sleeper = "import os, time; open({file!r}, 'a').write(str(os.getpid()) + chr(10)); time.sleep(1000)"
"""
WAIT = "while not os.path.exists({file!r}) or not open({file!r}).read().endswith(chr(10)): time.sleep(0.01)\n"
SESSION = "subprocess.Popen([sys.executable, '-c', sleeper], start_new_session=True)\n"
ORPHAN = """
if os.fork() == 0:
    os.setsid()
    subprocess.Popen([sys.executable, '-c', sleeper], start_new_session=True)
    os._exit(0)
"""


def gone(pid: int) -> bool:
    """Tell whether a process has ended; a zombie has, whoever its parent is."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.slow
@pytest.mark.parametrize("start", [pytest.param(SESSION, id="session"), pytest.param(ORPHAN, id="orphan")])
@pytest.mark.parametrize(
    ("ending", "reason"),
    [
        pytest.param("", None, id="answers"),
        pytest.param("os._exit(3)\n", "ended the process with exit code 3", id="exits"),
        pytest.param("os.kill(os.getpid(), 9)\n", "ended the process by signal 9", id="killed"),
        pytest.param("os.killpg(0, 15)\n", "ended the process by signal 15", id="its group killed"),
        pytest.param("time.sleep(1000)\n", "took longer than 8 s", id="hangs", marks=pytest.mark.slow),
    ],
)
def test_what_a_plugin_started_ends_with_its_inspection(
    site: Site, found: Found, tmp_path: Path, start: str, ending: str, reason: str | None
) -> None:
    file = str(tmp_path / "pids")
    source = (START + start + WAIT + ending).replace("{file!r}", repr(file))
    site.part("busy", files={"busy/plugin.py": part("busy", before=source)})
    said = reasons(found(time_limit_s=8.0 if "sleep" in ending else 60.0), "busy 1.0")
    assert len(said) == (reason is not None)
    assert (reason or "") in "".join(said)
    pids = [int(line) for line in Path(file).read_text().split()]
    assert pids
    assert all(gone(pid) for pid in pids)


@pytest.mark.parametrize(
    ("write", "error"),
    [
        pytest.param("b'x' * (4 << 20)", "takes more than 1 MiB to tell", id="a line without an end"),
        pytest.param("b'x' * (4 << 20) + b'\\n'", "takes more than 1 MiB to tell", id="a long line"),
        pytest.param("b'\\n' * (4 << 20)", "wrote over the answer", id="lines without an end"),
    ],
)
def test_an_answer_has_an_end(tmp_path: Path, write: str, error: str) -> None:
    source = f"""
import os
for each in range(3, 64):
    try:
        if os.readlink(f"/proc/self/fd/{{each}}").startswith("pipe:"):
            os.write(each, {write})
    except OSError:
        pass
"""
    (tmp_path / "flood.py").write_text(source)
    (finding,) = inspect("flood 1.0", [Entry("runtime.flood", "flood")], [str(tmp_path), *sys.path])
    assert error in finding.error


def test_no_more_is_read_than_what_may_be_an_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    read: list[int] = []
    real = os.read

    def counted(descriptor: int, size: int) -> bytes:
        data = real(descriptor, size)
        read.append(len(data))
        return data

    monkeypatch.setattr("moby.registry.inspection.os.read", counted)
    test_an_answer_has_an_end(tmp_path, "b'x' * (4 << 20)", "1 MiB")
    assert MAX_LINE < sum(read) <= MAX_LINE + (1 << 16)


def test_facts_of_a_hundred_components_are_an_answer(site: Site, found: Found) -> None:
    many = part("p0").replace(
        "[Component(name='p0', factory=make, contract=0)]",
        "[Component(name=f'p{each}', factory=make) for each in range(100)]",
    )
    site.part("many", files={"many/plugin.py": many})
    catalog = found()
    assert reasons(catalog, "many 1.0") == []
    assert len([each for each in catalog.components.values() if each.distribution == "many 1.0"]) == 100


def test_processes_are_found_by_their_parent_where_there_is_no_list(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> str:
        raise FileNotFoundError

    child = os.fork()
    if child == 0:
        time.sleep(1000)
        os._exit(0)
    try:
        listed = enclosure._children()
        with monkeypatch.context() as patch:
            real = Path.read_text
            patch.setattr(
                Path, "read_text", lambda self, **more: missing() if self.name == "children" else real(self, **more)
            )
            found = enclosure._children()
        assert child in listed
        assert set(listed) == set(found)
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
