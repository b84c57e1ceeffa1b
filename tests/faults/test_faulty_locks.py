"""A lock that doesn't match, or that isn't one any more: in a file, and inside a distribution."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from fault_engine import Engine

pytestmark = pytest.mark.slow

LOCK = "moby-lock.json"


def rewritten(pyz: Path, to: Path, change: Callable[[bytes], bytes | None]) -> Path:
    """Copy a distribution with another lock, or none, inside."""
    data = pyz.read_bytes()
    with to.open("wb") as file, zipfile.ZipFile(pyz) as source:
        file.write(data[: data.index(b"PK\x03\x04")])
        with zipfile.ZipFile(file, "w") as archive:
            for each in source.infolist():
                content = change(source.read(each)) if each.filename == LOCK else source.read(each)
                if content is not None:
                    archive.writestr(each, content)
    return to


def edited(edit: Callable[[dict[str, Any]], Any]) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        lock = json.loads(data)
        edit(lock["engine"])
        return json.dumps(lock).encode()

    return change


def of(plan: dict[str, Any], key: str) -> dict[str, Any]:
    return next(each for each in plan["instances"] if f"{each['kind']}/{each['name']}" == key)


def first(plan: dict[str, Any]) -> dict[str, Any]:
    return plan["instances"][0]


LOCKS = [
    pytest.param(lambda _: b"\xff\x00", "", id="garbage"),
    pytest.param(lambda _: b"", "Expecting value", id="empty"),
    pytest.param(lambda data: data[: len(data) // 2], "", id="half"),
    pytest.param(lambda _: b"[" * 100_000, "recursion", id="nested"),
    pytest.param(lambda _: b"[]", "list indices", id="list"),
    pytest.param(lambda _: b"{}", "engine", id="empty-map"),
    pytest.param(lambda _: b'{"engine": 1}', "expected a map with 'name', got int", id="no-plan"),
    pytest.param(edited(lambda plan: plan.pop("target")), "no 'target'", id="no-target"),
    pytest.param(edited(lambda plan: plan.update(name="../../x")), "'../../x' is no name", id="name"),
    pytest.param(edited(lambda plan: first(plan).update(name="../x")), "'../x' is no name", id="part-name"),
    pytest.param(edited(lambda plan: first(plan).update(kind="a/../b")), "'a/../b' is no name", id="kind"),
    pytest.param(edited(lambda plan: first(plan).update(kind="runtime")), "of the component images", id="other-kind"),
    pytest.param(edited(lambda plan: first(plan).update(config=[1])), "'config' is of the wrong type", id="config"),
    pytest.param(edited(lambda plan: first(plan).update(open=[1])), "'open' is no list of texts", id="open"),
    pytest.param(edited(lambda plan: first(plan).update(facts={})), "Facts has no 'id'", id="facts"),
    pytest.param(edited(lambda plan: plan.update(skipped={"a": 1})), "holds what is no text", id="skipped"),
    pytest.param(edited(lambda plan: plan["instances"].append(first(plan))), "is there twice", id="twice"),
    pytest.param(
        edited(lambda plan: of(plan, "command/image").update(bindings={})),
        "command/image needs ['image_registry', 'images'], and is wired for []",
        id="unwired",
    ),
    pytest.param(
        edited(lambda plan: of(plan, "command/image")["bindings"]["images"].update(targets=["images/nowhere"])),
        "wired to images/nowhere, which doesn't start before it",
        id="wired-to-nobody",
    ),
    pytest.param(
        edited(lambda plan: of(plan, "command/image")["bindings"]["images"].update(arity="some")),
        "'some' is no arity",
        id="arity",
    ),
    pytest.param(edited(lambda plan: plan["instances"].reverse()), "doesn't start before it", id="order"),
]


@pytest.mark.parametrize(("change", "message"), LOCKS)
def test_an_embedded_lock_that_was_tampered_with(engine: Engine, change: Any, message: str) -> None:
    bad = evolve(engine, pyz=rewritten(engine.pyz, engine.folder / "bad.pyz", change))
    for verb in ("version", "image"):
        done = bad(verb, *["ls"][: verb == "image"], code=3)
        assert "the lock at" in done.stderr
        assert message in done.stderr
        assert "fix: get or assemble this distribution again" in done.stderr
    assert not engine.root.exists(), "refused before anything was made"


def test_a_distribution_without_its_lock(engine: Engine) -> None:
    bad = evolve(engine, pyz=rewritten(engine.pyz, engine.folder / "bad.pyz", lambda _: None))
    assert "this is not a distribution\n  fix: make one with `moby assemble`" in bad("version", code=1).stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(lambda each: each["facts"].update(module="os.nope"), "its module os.nope can't be", id="module"),
        pytest.param(lambda each: each["config"].update(foo=1), "option foo: no such option", id="option"),
        pytest.param(lambda each: each["config"].update(max_unpacked_files="x"), "expected a whole number", id="value"),
    ],
)
def test_a_lock_that_speaks_of_other_parts(engine: Engine, change: Any, message: str) -> None:
    change_lock = edited(lambda plan: change(of(plan, "images/layout")))
    bad = evolve(engine, pyz=rewritten(engine.pyz, engine.folder / "bad.pyz", change_lock))
    assert message in bad("image", "ls", code=1).stderr


def damaged_entry(data: bytes) -> bytes:
    """Overwrite the lock's own compressed bytes."""
    at = data.index(LOCK.encode()) + len(LOCK)
    return data[:at] + b"\xff" * 64 + data[at + 64 :]


def test_an_entry_whose_bytes_are_damaged(engine: Engine) -> None:
    bad = engine.folder / "bad.pyz"
    bad.write_bytes(damaged_entry(engine.pyz.read_bytes()))
    assert "is damaged" in evolve(engine, pyz=bad)("version", code=3).stderr


@pytest.mark.parametrize("keep", [-1, -30, 0.9, 0.5, 0.01])
def test_a_truncated_distribution(engine: Engine, moby: Callable[..., Any], keep: float) -> None:
    """A zip's directory is at its end, so the interpreter itself refuses; `moby reproduce` says what it is."""
    data = engine.pyz.read_bytes()
    bad = engine.folder / "bad.pyz"
    bad.write_bytes(data[:keep] if isinstance(keep, int) else data[: int(len(data) * keep)])
    evolve(engine, pyz=bad)("version", code=1)
    assert not engine.root.exists()
    assert "holds no lock" in moby("reproduce", bad, code=1).stderr


@pytest.mark.parametrize(
    ("change", "_message"), [each for each in LOCKS if each.id in ("garbage", "nested", "list", "facts")]
)
def test_nothing_is_reproduced_from_a_lock_that_is_none(
    pyz: Path, folder: Path, moby: Callable[..., Any], change: Any, _message: str
) -> None:
    bad = rewritten(pyz, folder / "bad.pyz", change)
    assert "fix: " in moby("reproduce", bad, code=1).stderr


def test_what_names_a_part_that_is_not_installed_differs(pyz: Path, folder: Path, moby: Callable[..., Any]) -> None:
    bad = rewritten(pyz, folder / "bad.pyz", edited(lambda plan: first(plan)["facts"].update(module="os.nope")))
    assert "moby-lock.json" in moby("reproduce", bad, code=1).stdout, "the first that differs"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(b"", "is not JSON", id="empty"),
        pytest.param(b"\xff\xfe", "is not JSON", id="garbage"),
        pytest.param(b"[" * 100_000, "is not JSON", id="nested"),
        pytest.param(b"[]", "is no lock of schema 1", id="list"),
        pytest.param(b'{"schema": 1}', "is no lock of schema 1", id="empty-lock"),
        pytest.param(b'{"schema": 99}', "has schema 99", id="newer"),
    ],
)
def test_a_lock_file_that_is_none(moby: Callable[..., Any], folder: Path, text: bytes, message: str) -> None:
    (folder / "here/quickstart.lock.json").write_bytes(text)
    done = moby("assemble", "quickstart", "--locked", code=1)
    assert message in done.stderr
    assert "fix: " in done.stderr


def test_a_lock_of_something_else(moby: Callable[..., Any], folder: Path) -> None:
    moby("lock", "quickstart")
    path = folder / "here/quickstart.lock.json"
    lock = json.loads(path.read_bytes())
    lock["name"] = lock["engine"]["name"] = "other"
    of(lock["engine"], "images/layout")["config"]["max_unpacked_files"] = 1
    lock["manifests"][0]["digest"] = "sha256:0"
    path.write_text(json.dumps(lock))
    err = moby("assemble", "quickstart", "--locked", code=1).stderr
    for each in ("name was locked as 'other'", "option max_unpacked_files of images/layout", "manifest "):
        assert each in err
    assert "fix: moby lock quickstart accepts all of it" in err
