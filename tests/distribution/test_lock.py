"""Locks: written, read, and compared."""

import json
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from installing import Site, part, plan

from moby import distribution
from moby.component import Arity
from moby.distribution.contents import contents
from moby.distribution.locking import make, manifest_names, pins
from moby.errors import Invalid, MobyError, Unsupported
from moby.lock import Lock, ManifestPin, Pin, drift, dump, dumps, load, loads
from moby.manifest.assembly import Assembly
from moby.plan import Binding

ONE = evolve(part("runtime/one", "parts.one"), config={"binary": "x", "deep": {"a": [1]}})
TWO = evolve(part("supervisor/two", "parts.two"), bindings={"runtimes": Binding(Arity.EACH, ("runtime/one",))})
LOCK = Lock(
    name="sample",
    framework="0.1.0",
    python="3.13",
    engine=plan(ONE, TWO),
    build=plan(part("packager/pyz", "parts.pyz")),
    manifests=(ManifestPin("base.yaml", "sha256:1"), ManifestPin("main.yaml", "sha256:2")),
    distributions=(Pin("attrs", "26.1.0", "sha256:3"), Pin("parts", "1.0", "sha256:4", editable=True)),
)


def engine(*instances: Any, **changes: Any) -> dict[str, Any]:
    return {"engine": evolve(plan(*(instances or (ONE, TWO))), **changes)}


def facts(**changes: Any) -> dict[str, Any]:
    return engine(evolve(ONE, facts=evolve(ONE.facts, **changes)), TWO)


def pin(position: int, **changes: Any) -> dict[str, Any]:
    pins = list(LOCK.distributions)
    pins[position] = evolve(pins[position], **changes)
    return {"distributions": tuple(pins)}


CHANGES = [
    pytest.param({"name": "other"}, ["name was locked as 'sample'; it is 'other' now"], id="name"),
    pytest.param({"framework": "2"}, ["framework was locked as '0.1.0'; it is '2' now"], id="framework"),
    pytest.param({"python": "3.11"}, ["python was locked as '3.13'; it is '3.11' now"], id="python"),
    pytest.param(
        {"manifests": (ManifestPin("base.yaml", "sha256:9"), LOCK.manifests[1])},
        ["manifest base.yaml has changed"],
        id="manifest",
    ),
    pytest.param({"manifests": LOCK.manifests[1:]}, ["manifest base.yaml is no longer read"], id="manifest-gone"),
    pytest.param(
        {"manifests": (ManifestPin("new.yaml", ""), *LOCK.manifests)},
        ["manifest new.yaml is read now, and wasn't when locked"],
        id="manifest-new",
    ),
    pytest.param(
        {"manifests": LOCK.manifests[::-1]}, ["manifests are merged in another order"], id="manifests-in-another-order"
    ),
    pytest.param(
        pin(0, version="27"), ["distribution attrs was locked at 26.1.0; 27 is installed"], id="distribution-version"
    ),
    pytest.param(
        pin(0, digest="sha256:9"),
        ["distribution attrs 26.1.0 holds other files (sha256:9, locked sha256:3)"],
        id="distribution-files",
    ),
    pytest.param(
        pin(1, editable=False),
        ["distribution parts is installed inside; it was editable inside"],
        id="distribution-editable",
    ),
    pytest.param(
        {"distributions": LOCK.distributions[:1]}, ["distribution parts is no longer used"], id="distribution-gone"
    ),
    pytest.param(
        {"distributions": (*LOCK.distributions, Pin("zstd", "1", ""))},
        ["distribution zstd is used now, and was not when locked"],
        id="distribution-new",
    ),
    pytest.param(engine(ONE), ["supervisor/two was locked, and isn't chosen now"], id="part-gone"),
    pytest.param(engine(ONE, TWO, part("images/x", "parts")), ["images/x isn't in the lock"], id="part-new"),
    pytest.param(engine(TWO, ONE), ["the parts of sample start in another order"], id="order"),
    pytest.param(
        facts(version="2"), ["runtime/one was locked at version 1.0; 2 is installed"], id="component-version"
    ),
    pytest.param(
        facts(id="runtime/uno", name="uno"),
        ["runtime/one was locked as runtime/one; it is runtime/uno now"],
        id="component",
    ),
    pytest.param(
        facts(brings=("x",)), ["runtime/one declares other facts than it did when locked"], id="component-facts"
    ),
    pytest.param(
        engine(evolve(ONE, config={**ONE.config, "binary": "y"}), TWO),
        ["option binary of runtime/one was locked as 'x'; it is 'y' now"],
        id="option",
    ),
    pytest.param(
        engine(evolve(ONE, config={"binary": "x"}), TWO),
        ["option deep of runtime/one was locked as {'a': [1]}; it is None now"],
        id="option-gone",
    ),
    pytest.param(
        engine(evolve(ONE, open=("binary",)), TWO),
        ["runtime/one: open was locked as (); it is ('binary',) now"],
        id="open",
    ),
    pytest.param(
        engine(ONE, evolve(TWO, bindings={})),
        ["supervisor/two is wired to others than it was when locked"],
        id="wiring",
    ),
    pytest.param(engine(name="new"), ["the plan was locked as 'sample'; it is 'new' now"], id="plan-name"),
    pytest.param(
        engine(target={"a": 1}), ["sample is resolved for another host than it was locked for"], id="another-host"
    ),
    pytest.param(engine(skipped={"a/b": "c"}), ["sample leaves out ['a/b']; locked was []"], id="skipped"),
    pytest.param(
        {"build": plan()}, ["packager/pyz was locked, and isn't chosen now"], id="packager"
    ),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "messages"), CHANGES)
def test_drift_is_named(changes: dict[str, Any], messages: list[str]) -> None:
    assert [problem.message for problem in drift(LOCK, evolve(LOCK, **changes))] == messages


def test_an_option_that_was_null_is_drift_once_it_is_not_there() -> None:
    null = evolve(LOCK, **engine(evolve(ONE, config={**ONE.config, "more": None}), TWO))
    assert drift(LOCK, null)


VARIANTS = st.sampled_from([LOCK, *(evolve(LOCK, **case.values[0]) for case in CHANGES)])


@settings(max_examples=200, deadline=None)
@given(VARIANTS, VARIANTS)
def test_drift_is_nothing_exactly_where_locks_are_equal(one: Lock, other: Lock) -> None:
    assert (not drift(one, other)) == (dumps(one) == dumps(other))


@pytest.mark.parametrize(
    "changes", [pytest.param({}, id="as-it-is"), *(pytest.param(c.values[0], id=c.id) for c in CHANGES)]
)
def test_written_and_read_a_lock_is_the_same(changes: dict[str, Any]) -> None:
    lock = evolve(LOCK, **changes)
    assert loads(dumps(lock)) == lock
    assert dumps(loads(dumps(lock))) == dumps(lock)


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        pytest.param(b"{", Invalid, "x.json is not JSON", id="no-json"),
        pytest.param(b"\xff", Invalid, "x.json is not JSON", id="no-text"),
        pytest.param(b"[]", Invalid, "x.json is no lock of schema 1", id="a-list"),
        pytest.param(b"{}", Invalid, "x.json is no lock of schema 1", id="empty"),
        pytest.param(json.dumps({**dump(LOCK), "manifests": [1]}).encode(), Invalid, "is no lock", id="wrong-type"),
        pytest.param(dumps(LOCK).replace(b'"runtime/one"', b'"x"'), Invalid, "'x' is no `kind/name`", id="wrong-facts"),
        pytest.param(b'{"schema": 2}', Unsupported, "x.json has schema 2; this framework reads 1", id="newer"),
    ],
)
def test_what_is_no_lock(data: bytes, error: type[MobyError], message: str) -> None:
    with pytest.raises(error, match=message):
        loads(data, source="x.json")


KEYS = st.sampled_from([*dump(LOCK), "instances", "facts", "kind"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda each: st.lists(each) | st.dictionaries(KEYS, each)
)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(JSON)
def test_any_json_is_a_lock_or_refused(data: Any) -> None:
    with pytest.raises((Invalid, Unsupported)):
        load(data)


@pytest.mark.parametrize(
    ("files", "names"),
    [
        pytest.param([], [], id="none"),
        pytest.param(["/a/main.yaml"], ["main.yaml"], id="itself"),
        pytest.param(
            ["/a/base.yaml", "/a/b/up.yaml", "/a/b/main.yaml"], ["../base.yaml", "up.yaml", "main.yaml"], id="up"
        ),
        pytest.param(["{shipped}/base.yaml", "/a/main.yaml"], ["shipped:base.yaml", "main.yaml"], id="shipped"),
        pytest.param(["{shipped}/base.yaml", "{shipped}/main.yaml"], ["base.yaml", "main.yaml"], id="all-shipped"),
    ],
)
def test_manifests_are_named_without_their_place(files: list[str], names: list[str]) -> None:
    from moby.manifest.sources import shipped_folder

    given = [file.replace("{shipped}", str(shipped_folder())) for file in files]
    assert list(manifest_names(given).values()) == names


def test_a_lock_tells_no_place(site: Site) -> None:
    site.install("parts", {"parts/__init__.py": "", "parts/one.py": ""})
    where = site.folder / "main.yaml"
    one = evolve(part("runtime/one", "parts.one"), reason=f"chosen at {where}:3:4")
    assembly = Assembly("sample", files=(str(where),), digests={str(where): "12ab"})
    lock = make(assembly, plan(one), plan())
    assert lock.engine.instances[0].reason == "chosen at main.yaml:3:4"
    assert lock.manifests == (ManifestPin("main.yaml", "sha256:12ab"),)
    assert [pin.name for pin in lock.distributions] == ["attrs", "moby-framework", "parts", "pluggy"]
    assert str(site.folder) not in dumps(lock).decode()


def test_a_working_tree_is_pinned_by_its_files(site: Site) -> None:
    tree = site.folder / "checkout" / "src"
    (tree / "parts" / "__pycache__").mkdir(parents=True)
    (tree / "parts" / "__init__.py").touch()
    (tree / "parts" / "one.py").write_text("ONE = 1\n")
    site.install("parts", {"parts.pth": str(tree)}, direct_url={"dir_info": {"editable": True}})
    engine, digests = plan(part("runtime/one", "parts.one")), []
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(tree)
        for text in ("ONE = 1\n", "ONE = 2\n", "ONE = 1\n"):
            (tree / "parts" / "one.py").write_text(text)
            (tree / "parts" / "__pycache__" / "one.pyc").write_text(str(digests))
            (pinned,) = (pin for pin in pins(engine, plan()) if pin.name == "parts")
            assert pinned.editable
            digests.append(pinned.digest)
        assert ("parts/one.py", "runtime/one") in [(e.path, e.owner) for e in contents(engine).entries]
    assert digests[0] == digests[2] != digests[1]


def test_what_just_building_needs_is_marked(site: Site) -> None:
    site.install("parts", {"parts/__init__.py": "", "parts/one.py": ""})
    site.install("tools", {"tools.py": ""}, requires=["low"])
    site.install("low", {"low.py": ""})
    packager = part("packager/deb", "tools", distribution="tools 1.0", brings=("low",))
    found = pins(plan(part("runtime/one", "parts.one")), plan(packager))
    assert {pin.name: pin.build for pin in found} == {
        "attrs": False, "low": True, "moby-framework": False, "parts": False, "pluggy": False, "tools": True,
    }  # fmt: skip


def test_a_part_that_nobody_needs_is_noted(tmp_path):
    manifest = tmp_path / "extra.yaml"
    manifest.write_text("moby: 1\nextends: [quickstart]\nname: extra\ncomponents:\n  metadata: sqlite\n")
    made = distribution.assemble(str(manifest), tmp_path / "out")
    assert any("extra.yaml:5:13, and no part needs it" in each for each in made.notes)
