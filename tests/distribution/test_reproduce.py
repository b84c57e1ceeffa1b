"""`moby reproduce`: the same bytes again, or what differs."""

import io
import json
import shutil
import zipfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moby.contracts.packager import Artifact
from moby.distribution import provenance, reproduction
from moby.errors import HostUnfit, Invalid, MobyError, NotFound
from moby.lock import dumps, loads

pytestmark = pytest.mark.slow
Run = Callable[..., object]


def rewritten(artifact: Path, to: Path, changes: dict[str, bytes | None], *, method: int = 8, level: int = 9) -> Path:
    """Write an artifact anew with entries changed, added or (None) left out."""
    data = artifact.read_bytes()
    out = io.BytesIO()
    out.write(data[: data.index(b"\n") + 1])
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for name in sorted({*old.namelist(), *changes}):
            content = changes.get(name, b"")
            if name not in changes:
                content = old.read(name)
            if content is not None:
                info = zipfile.ZipInfo(name)
                info.external_attr = 0o100644 << 16
                new.writestr(info, content, method, level)
    to.write_bytes(out.getvalue())
    return to


def test_the_same(moby: Run, quickstart: Path, tmp_path: Path) -> None:
    said = moby("reproduce", quickstart / "quickstart.pyz", cwd=tmp_path)
    assert said.stdout == f"{quickstart}/quickstart.pyz: the same, byte for byte\n"
    moved = shutil.copy(quickstart / "quickstart.pyz", tmp_path / "engine.pyz")
    told = json.loads(moby("reproduce", moved, "--json", cwd=tmp_path).stdout)
    assert told == {"artifact": str(moved), "difference": "", "notes": [], "same": True, "schema": 1}


def test_whose_format_a_file_is(quickstart: Path, tmp_path: Path) -> None:
    """As told beside it, so that no other is made: a kernel's name, say, doesn't tell."""
    lock = loads((quickstart / "quickstart.lock.json").read_bytes(), source="x")
    beside = tmp_path / "quickstart.intoto.json"
    artifact = tmp_path / "quickstart.kernel"
    artifact.touch()
    assert reproduction._format_of(lock, artifact) is None
    for name, wanted in (("pyz", "pyz"), ("deb", None)):
        made = {name: Artifact((Path("quickstart.kernel"),), {})}
        beside.write_bytes(provenance.envelope(provenance.statement(lock, made, tmp_path, {})))
        found = reproduction._format_of(lock, artifact)
        assert (found and found.name) == wanted
        assert reproduction._format_of(lock, tmp_path / "quickstart.pyz").name == "pyz"
    for damaged in (b"", b"[]", b'{"payload": 1}', provenance.envelope({"subject": [{"name": "x"}]})):
        assert provenance.formats_in(damaged) == {}


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        pytest.param({"moby/wiring.py": b"x"}, {}, "moby/wiring.py (of moby) differs", id="of-the-framework"),
        pytest.param({"moby/wiring.pyc": b"x"}, {}, "moby/wiring.pyc (of moby) differs", id="its-bytecode"),
        pytest.param(
            {"moby_runtime/native/spec.py": b"x"},
            {},
            "moby_runtime/native/spec.py (of runtime/native) differs",
            id="of-a-component",
        ),
        pytest.param({"zz.py": b"x"}, {}, "zz.py (of nobody) is only in the artifact", id="added"),
        pytest.param(
            {"attr/filters.py": None},
            {},
            "attr/filters.py (of attrs 26.1.0) is only in what was built again",
            id="gone",
        ),
        pytest.param({}, {"level": 1}, "all entries are the same, but byte", id="deflated-otherwise"),
    ],
)
def test_the_first_difference_is_named(
    moby: Run, quickstart: Path, tmp_path: Path, changes: dict[str, bytes | None], options: dict[str, int], message: str
) -> None:
    artifact = rewritten(quickstart / "quickstart.pyz", tmp_path / "quickstart.pyz", changes, **options)
    assert message in moby("reproduce", artifact, cwd=tmp_path, code=1).stdout


def test_another_interpreter_line_differs(moby: Run, quickstart: Path, tmp_path: Path) -> None:
    data = (quickstart / "quickstart.pyz").read_bytes()
    (tmp_path / "quickstart.pyz").write_bytes(data.replace(b"env python3", b"env pythonX", 1))
    said = moby("reproduce", tmp_path / "quickstart.pyz", cwd=tmp_path, code=1).stdout
    assert "all entries are the same, but byte 21 around them (the interpreter line" in said


def with_lock(quickstart: Path, to: Path, **changes: object) -> Path:
    lock = loads((quickstart / "quickstart.lock.json").read_bytes())
    return rewritten(quickstart / "quickstart.pyz", to, {"moby-lock.json": dumps(evolve(lock, **changes))})


def test_another_python_is_refused_by_name(moby: Run, quickstart: Path, tmp_path: Path) -> None:
    artifact = with_lock(quickstart, tmp_path / "quickstart.pyz", python="3.10")
    said = moby("reproduce", artifact, cwd=tmp_path, code=3).stderr
    assert "quickstart.pyz holds bytecode of Python 3.10; this is Python 3." in said
    assert said.endswith("  fix: run moby with Python 3.10\n")


def test_other_distributions_are_refused_by_name(moby: Run, quickstart: Path, tmp_path: Path) -> None:
    pins = list(loads((quickstart / "quickstart.lock.json").read_bytes()).distributions)
    changed = (
        evolve(pins[0], version="1.0"), evolve(pins[1], digest="sha256:00"), evolve(pins[2], editable=True),
        evolve(pins[0], name="zebra"),
    )  # fmt: skip
    artifact = with_lock(quickstart, tmp_path / "quickstart.pyz", distributions=changed)
    said = moby("reproduce", artifact, cwd=tmp_path, code=1).stderr
    assert f"attrs 1.0 was used; {pins[0].version} is installed\n  fix: pip install attrs==1.0; or --wheels" in said
    assert "moby-framework 0.1.0 is installed with other files than those that were used" in said
    assert "pluggy 1.7.0 was a working tree, and this is not that very tree\n  fix: check out the tree" in said
    assert f"zebra {pins[0].version} was used, and isn't now" in said


def test_a_changed_installation_does_not_reproduce(
    moby: Run, quickstart: Path, installed_copy: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(installed_copy, tmp_path / "copy")
    (copy / "moby" / "wiring.py").write_text("changed")
    said = moby("reproduce", quickstart / "quickstart.pyz", cwd=tmp_path, site=copy, code=3)
    assert "moby/wiring.py is not what its RECORD says" in said.stderr


def repacked(name: str, folder: Path) -> None:
    """Make a wheel again of an installed distribution."""
    found = metadata.distribution(name)
    with zipfile.ZipFile(folder / f"{name}-{found.version}-py3-none-any.whl", "w") as wheel:
        rows = []
        for row in (found.read_text("RECORD") or "").splitlines():
            path = row.split(",")[0]
            local = path.endswith((".pyc", "INSTALLER", "REQUESTED", "direct_url.json", "RECORD"))
            if not path.startswith("..") and not local:
                wheel.write(str(found.locate_file(path)), path)
                rows.append(f"{row}\n")
        wheel.writestr(f"{name}-{found.version}.dist-info/RECORD", "".join(rows))


def test_with_wheels_what_is_installed_does_not_matter(
    moby: Run, quickstart: Path, wheel: Path, installed_copy: Path, tmp_path: Path
) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    shutil.copy(wheel, wheels)
    for name in ("attrs", "pluggy"):
        repacked(name, wheels)
    (wheels / "unrelated-1.0-py3-none-any.whl").write_bytes(b"not looked at")
    broken = shutil.copytree(installed_copy, tmp_path / "copy")
    with (broken / "moby" / "wiring.py").open("a") as file:
        file.write("# changed\n")
    artifact = quickstart / "quickstart.pyz"
    moby("reproduce", artifact, site=broken, cwd=tmp_path, code=3)
    said = moby("reproduce", artifact, "--wheels", wheels, site=broken, cwd=tmp_path)
    assert said.stdout == f"{artifact}: the same, byte for byte\n"


@pytest.mark.parametrize(
    ("prepare", "error", "message"),
    [
        pytest.param(lambda _: None, NotFound, "no folder", id="no-folder"),
        pytest.param(
            lambda wheels: (wheels.mkdir(), (wheels / "attrs-26.1.0-py3-none-any.whl").write_text("x")),
            Invalid,
            "can't be unpacked",
            id="no-wheel",
        ),
    ],
)
def test_wheels_that_are_none(
    quickstart: Path, tmp_path: Path, prepare: Callable[[Path], None], error: type[MobyError], message: str
) -> None:
    prepare(tmp_path / "wheels")
    with pytest.raises(error, match=message):
        reproduction.reproduce_from(quickstart / "quickstart.pyz", tmp_path / "wheels")


@pytest.mark.parametrize(
    ("name", "data", "error", "message"),
    [
        pytest.param("x.pyz", None, NotFound, "no artifact at", id="nothing"),
        pytest.param("x.pyz", b"", Invalid, "holds no lock, and none lies beside it", id="empty"),
        pytest.param("x.pyz", b"#!/bin/sh\n", Invalid, "holds no lock, and none lies beside it", id="something-else"),
    ],
)
def test_what_is_no_artifact(
    tmp_path: Path, name: str, data: bytes | None, error: type[MobyError], message: str
) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(error, match=message):
        reproduction.reproduce(tmp_path / name)


def test_an_artifact_without_a_lock_inside_is_told_by_the_one_beside(
    moby: Run, quickstart: Path, tmp_path: Path
) -> None:
    shutil.copy(quickstart / "quickstart.lock.json", tmp_path)
    artifact = rewritten(quickstart / "quickstart.pyz", tmp_path / "quickstart.pyz", {"moby-lock.json": None})
    said = moby("reproduce", artifact, cwd=tmp_path, code=1)
    assert "moby-lock.json (of moby) is only in what was built again" in said.stdout
    other = shutil.copy(artifact, tmp_path / "quickstart.deb")
    said = moby("reproduce", other, cwd=tmp_path, code=1)
    assert "quickstart.deb is none of the files that its lock makes: quickstart.pyz" in said.stderr


@pytest.mark.parametrize(
    ("beside", "taken"),
    [
        pytest.param(["other"], "other", id="the-only-one"),
        pytest.param(["other", "quickstart"], "quickstart", id="of-its-name"),
        pytest.param(["quickstart", "quickstart.x86"], "quickstart", id="not-a-longer-one"),
        pytest.param(["one", "other"], "", id="several"),
        pytest.param([], "", id="none"),
    ],
)
def test_which_lock_beside_it_is_its_own(quickstart: Path, tmp_path: Path, beside: list[str], taken: str) -> None:
    text = (quickstart / "quickstart.lock.json").read_text()
    for name in beside:
        lock = evolve(loads(text.encode()), name=name)
        (tmp_path / f"{name}.lock.json").write_bytes(dumps(lock))
    artifact = tmp_path / "quickstart.deb"
    if taken:
        assert reproduction.embedded_lock(artifact, b"").name == taken
        return
    with pytest.raises(Invalid) as caught:
        reproduction.embedded_lock(artifact, b"")
    said = "several lie beside it (one.lock.json, other.lock.json)" if beside else "none lies beside it"
    assert caught.value.message == f"{artifact} holds no lock, and {said}"
    assert "with the NAME.lock.json that was made with it beside it" in caught.value.hint


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0), st.binary(min_size=1, max_size=40), st.integers(0, 3))
def test_a_damaged_artifact_is_told_apart(quickstart: Path, tmp_path: Path, at: int, noise: bytes, cut: int) -> None:
    data = bytearray((quickstart / "quickstart.pyz").read_bytes())
    at %= len(data)
    data[at : at + len(noise)] = noise
    damaged = tmp_path / "quickstart.pyz"
    damaged.write_bytes(bytes(data[: len(data) - cut * at // 4]))
    try:
        lock = reproduction.embedded_lock(damaged, damaged.read_bytes())
    except (Invalid, HostUnfit):
        return
    assert lock.name == "quickstart"
