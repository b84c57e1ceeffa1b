"""What differs between two plans, and the verbs that tell it and explain one."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import synthetic
from click.testing import CliRunner, Result

from moby import lock as locks
from moby.cli import diff, explain, session
from moby.difference import compare
from moby.errors import Invalid
from moby.lock import Lock
from moby.plan import Plan
from moby.registry import Catalog
from moby.resolver import resolve, resolve_build

STANDARD = synthetic.catalog({"from": "standard"})
NEWER = synthetic.catalog(
    {
        "from": "standard",
        "components": {
            "runtime/native": {"preferred": True, "version": "0.2.0"},
            "supervisor/foreground": {
                "preferred": True,
                "needs": {"runtimes": "each runtime"},
                "distribution": "fork 2",
            },
        },
    }
)
HEAD = "moby: 1\nname: one\ncomponents:\n"
Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(session, "catalog", lambda: STANDARD)
    return tmp_path


def plan(components: str, catalog: Catalog = STANDARD) -> Plan:
    return resolve(synthetic.read(HEAD + components, Path()), catalog)


def manifest(name: str, components: str, tail: str = "") -> str:
    Path(name).write_text(HEAD + components + tail)
    return name


SAME = "  runtime: native\n  command: run\n"
TABLE = [
    pytest.param(SAME, SAME, [], id="same"),
    pytest.param(SAME, "  command: run\n", [], id="chosen-or-filled-is-the-same"),
    pytest.param(
        SAME,
        SAME.replace("native", "bwrap"),
        [
            "runtime: native 0.1.0 -> bwrap 0.1.0 (a.yaml:4:12)",
            "wiring supervisor/foreground.runtimes: runtime/native -> runtime/bwrap",
        ],
        id="part",
    ),
    pytest.param(
        "  runtime: {use: native, config: {depth: 1}}\n",
        "  runtime: {use: native, config: {depth: 2, path: /x}}\n",
        ["option runtime/native.depth: 1 -> 2 (a.yaml:4:42)", 'option runtime/native.path: "" -> /x (a.yaml:4:51)'],
        id="options",
    ),
    pytest.param(
        "  runtime: {use: native, config: {depth: 1}}\n",
        "  runtime: {use: native, config: {depth: {open: 1}}}\n",
        ["open runtime/native: none -> depth (a.yaml:4:26)"],
        id="left-open",
    ),
    pytest.param(
        "  runtime: native\n",
        "  runtime: [native, {use: runc, as: fast}, bwrap]\n",
        ["+ runtime: bwrap 0.1.0 (a.yaml:4:44)", "+ runtime: runc 1.1.4 as fast (a.yaml:4:21)"],
        id="parts-added",
    ),
    pytest.param(
        "  command: [run, status, debug]\n  supervisor: local\n",
        "  command: [run]\n  supervisor: local\n",
        ["- command: debug 0.1.0", "- command: status 0.1.0"],
        id="parts-dropped",
    ),
    pytest.param(
        "  runtime: [{use: native, default: true}, runc]\n",
        "  runtime: [native, {use: runc, default: true}]\n",
        ["default runtime: native -> runc (a.yaml:4:42)"],
        id="default",
    ),
    pytest.param(
        "  runtime: {use: native, as: fast}\n",
        "  runtime: {use: runc, as: fast}\n",
        ["runtime/fast: native 0.1.0 -> runc 1.1.4 (a.yaml:4:18)"],
        id="another-part-under-a-name",
    ),
    pytest.param(
        "  runtime: native\n",
        "  runtime: {use: native, policy: optional}\n",
        ["policy runtime/native: required -> optional (a.yaml:4:34)"],
        id="policy",
    ),
]


@pytest.mark.parametrize(("before", "after", "expected"), TABLE)
def test_differences(before: str, after: str, expected: list[str]) -> None:
    old = plan(before)
    assembly = synthetic.read(HEAD + after, Path())
    assert [str(each) for each in compare(old, resolve(assembly, STANDARD), where=assembly.where)] == expected


def test_versions_and_facts_of_the_same_parts() -> None:
    found = [str(each) for each in compare(plan("  command: run\n"), plan("  command: run\n", NEWER))]
    assert found == [
        "version runtime/native: 0.1.0 -> 0.2.0",
        "option runtime/native.cgroup: files -> none",
        "option runtime/native.depth: 3 -> none",
        'option runtime/native.path: "" -> none',
        "distribution supervisor/foreground: synthetic 1.0 -> fork 2",
        "provides supervisor/foreground: attach -> none",
    ]


def test_targets_and_what_is_left_out_for_them() -> None:
    assembly = synthetic.read(HEAD + "  network-driver: {use: bridge, policy: skip-if-unfit}\n", Path())
    lacking = {"kernel": {"bridge": {"ok": False, "detail": "no bridge"}}}
    having = {"kernel": {"bridge": {"ok": True}}}
    plans = [resolve(assembly, STANDARD, target=target) for target in (None, lacking, having)]
    anywhere, here, there = plans
    assert [each.what for each in compare(anywhere, here)] == ["target", "skipped", "part"]
    assert str(compare(here, there)[0]) == "target: a host by its facts -> another host by its facts"


def test_compare_with_itself_and_turned_round() -> None:
    old, new = plan(SAME), plan("  runtime: [native, runc]\n  command: status\n")
    assert not compare(old, old)
    assert {each.subject for each in compare(old, new)} == {each.subject for each in compare(new, old)}


# The verbs -----------------------------------------------------------------------------------------------------------


def run(*arguments: str) -> Result:
    return CliRunner().invoke(diff.command, list(arguments))


def written_lock(name: str, components: str) -> bytes:
    assembly = synthetic.read(HEAD + components, Path())
    lock = Lock("one", "0.1.0", "3.13", resolve(assembly, STANDARD), resolve_build(assembly, STANDARD))
    Path(name).write_bytes(locks.dumps(lock))
    return Path(name).read_bytes()


def test_diff_of_manifests() -> None:
    done = run(manifest("old.yaml", SAME), manifest("new.yaml", SAME, "distribution: {formats: [pyz, oci]}\n"))
    assert (done.exit_code, done.stdout) == (1, "+ packager: oci 0.1.0\n")
    same = run("old.yaml", "old.yaml")
    assert (same.exit_code, same.stdout) == (0, "")


def test_diff_of_a_lock_and_a_distribution() -> None:
    data = written_lock("one.lock.json", SAME)
    with zipfile.ZipFile("one.pyz", "w") as archive:
        archive.writestr("moby-lock.json", data)
    assert run("one.lock.json", "one.pyz").exit_code == 0
    done = run("one.pyz", manifest("new.yaml", SAME.replace("native", "runc")), "--json")
    said = json.loads(done.stdout)
    assert (done.exit_code, said["same"]) == (1, False)
    first = said["differences"][0]
    assert (first["plan"], first["what"], first["subject"]) == ("engine", "part", "runtime")
    assert first["where"] == {"source": "new.yaml", "line": 4, "column": 12}
    assert first["text"] == "runtime: native 0.1.0 -> runc 1.1.4 (new.yaml:4:12)"


def test_an_archive_that_is_no_distribution() -> None:
    with zipfile.ZipFile("other.zip", "w") as archive:
        archive.writestr("README", "")
    done = run("other.zip", "other.zip")
    assert isinstance(done.exception, Invalid)
    assert "holds no moby-lock.json" in str(done.exception)


def test_explain() -> None:
    done = CliRunner().invoke(explain.command, [manifest("one.yaml", "  command: status\n  frontend: status\n")])
    assert done.stdout == (
        "one: 3 components, in the order in which they start\n"
        "\n"
        "  1. command/status 0.1.0\n"
        "       because command/status is chosen at one.yaml:4:12\n"
        "       gets nothing as supervisor\n"
        "\n"
        "  2. events/ring 0.1.0\n"
        "       because frontend/status needs events; preferred\n"
        "       because frontend/status is chosen at one.yaml:5:13\n"
        "\n"
        "  3. frontend/status 0.1.0\n"
        "       because frontend/status is chosen at one.yaml:5:13\n"
        "       gets events/ring as events\n"
    )


def test_explain_what_is_left_out() -> None:
    Path("facts.json").write_text(json.dumps({"schema": 1, "kernel": {"bridge": {"ok": False, "detail": "no bridge"}}}))
    name = manifest(
        "one.yaml", "  network-driver: [{use: bridge, policy: skip-if-unfit}, {use: none, policy: optional}]\n"
    )
    done = CliRunner().invoke(explain.command, [name, "--target", "facts.json"])
    assert "network-driver/bridge is left out: network-driver/bridge doesn't fit" in done.stdout
    assert "policy optional" in done.stdout


def test_explain_as_json() -> None:
    done = CliRunner().invoke(explain.command, [manifest("one.yaml", "  command: run\n"), "--json"])
    said = json.loads(done.stdout)
    assert [each["key"] for each in said["instances"]] == ["runtime/native", "supervisor/foreground", "command/run"]
    assert said["instances"][1]["bindings"] == {"runtimes": ["runtime/native"]}


def test_explain_why_it_fails() -> None:
    name = manifest("one.yaml", "  command: run\n  runtime: null\n")
    told = CliRunner().invoke(explain.command, [name])
    assert isinstance(told.exception, Invalid)
    assert "because command/run is chosen at one.yaml:4:12" in str(told.exception)
    done = CliRunner().invoke(explain.command, [name, "--json"])
    said = json.loads(done.stdout)
    assert (done.exit_code, said["ok"]) == (1, False)
    (problem,) = said["problems"]
    assert problem["conflict"] == ["components.command.run", "components.runtime"]
    assert problem["fixes"][0] == "drop `runtime: null` at one.yaml:5:12"
