"""Discovery, in good company and among bad neighbours, which are installed by hand in a folder of their own."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from sites import Site, part, reasons

from moby.component import Facts, dump_facts
from moby.registry import Catalog, discover, facts_file
from moby.registry import catalog as catalog_module

Found = Callable[..., Catalog]


def facts(name: str, **changes: Any) -> Facts:
    """Return facts such as a wheel of `Site.part` would carry."""
    made = Facts(f"runtime/{name}", "runtime", name, "1.0", 1, f"{name} 1.0", f"{name}.plugin", many=True)
    return evolve(made, **changes)


FORGED = """
import json, os, sys
answer = {{"module": "bad.plugin", "facts": {facts!r}, "error": ""}}
os.write(int(sys.argv[1]), json.dumps(answer).encode() + b"\\n")
os._exit(0)
"""


def test_a_plugin_without_facts_is_inspected_and_not_imported(site: Site, found: Found) -> None:
    site.part("tidy")
    imported_before = {*sys.modules}
    tidy = found().get("runtime/tidy")
    assert tidy is not None
    assert (tidy.distribution, tidy.version, tidy.module) == ("tidy 1.0", "1.0", "tidy.plugin")
    assert tidy.summary == "A part of a test."
    assert [each.name for each in tidy.options] == ["binary"]
    assert not {"tidy", "tidy.plugin", "moby_runtime"} & (sys.modules.keys() - imported_before)


def test_a_plugin_with_facts_is_not_even_inspected(site: Site, found: Found) -> None:
    site.part("carried", files={"carried/plugin.py": "raise SystemExit"}, facts=(facts("carried"),))
    assert found().get("runtime/carried") == facts("carried")


def test_facts_of_a_later_schema_are_passed_over(site: Site, found: Found) -> None:
    site.part("later", facts='{"schema": 2, "components": "otherwise"}')
    assert found().get("runtime/later") is not None


def test_facts_of_an_editable_distribution_are_passed_over(site: Site, found: Found) -> None:
    site.part("stale", facts=(facts("stale", summary="of yesterday"),), editable=True)
    stale = found().get("runtime/stale")
    assert stale is not None
    assert stale.summary == "A part of a test."


def test_of_two_distributions_of_one_name_the_first_on_the_path_counts(
    site: Site, found: Found, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    Site(other).part("twice", version="2.0")
    site.part("twice")
    monkeypatch.setattr(sys, "path", [*sys.path, str(other)])
    twice = found().get("runtime/twice")
    assert twice is not None
    assert twice.version == "1.0"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "reason"),
    [
        pytest.param("1 / 0\n", "importing it raised ZeroDivisionError: division by zero at", id="raises"),
        pytest.param("import nowhere\n", "No module named 'nowhere' at", id="imports what isn't there"),
        pytest.param("def broken(:\n", "importing it raised SyntaxError", id="doesn't parse"),
        pytest.param("raise SystemExit(3)\n", "importing it raised SystemExit: 3", id="asks for an exit"),
        pytest.param("import os; os._exit(3)\n", "importing it ended the process with exit code 3", id="exits"),
        pytest.param(
            "import os; os.kill(os.getpid(), 9)\n", "importing it ended the process by signal 9", id="is killed"
        ),
        pytest.param(
            "import os; os.closerange(3, 99); os._exit(0)\n", "importing it ended the process", id="closes everything"
        ),
        pytest.param(
            "import time; time.sleep(60)\n", "importing it took longer than 8 s", id="sleeps", marks=pytest.mark.slow
        ),
        pytest.param("input()\n", "importing it raised EOFError", id="asks a question"),
        pytest.param(
            "import os, sys; os.write(int(sys.argv[1]), b'{}]\\n')\n", "it wrote over the answer", id="answers itself"
        ),
        pytest.param(FORGED.format(facts=[{}]), "Facts has no 'id'", id="forges an answer"),
        pytest.param(
            FORGED.format(facts=[dump_facts(facts("x"))]), "it answered for x.plugin of x 1.0", id="answers for another"
        ),
    ],
)
def test_a_module_that_misbehaves_is_reported_and_left_out(site: Site, found: Found, before: str, reason: str) -> None:
    site.part("good")
    site.part(
        "bad",
        files={"bad/first.py": part("bad-first"), "bad/plugin.py": part("bad", before=before), "bad/z.py": part("z")},
        entries={"runtime.bad-first": "bad.first", "runtime.bad": "bad.plugin", "runtime.z": "bad.z"},
    )
    catalog = found(time_limit_s=8.0 if "sleep" in before else 60.0)
    assert reason in "\n".join(reasons(catalog, "bad 1.0"))
    assert len(reasons(catalog, "bad 1.0")) == 1
    assert {"runtime/good", "runtime/bad-first", "runtime/z"} <= catalog.components.keys()
    assert "runtime/bad" not in catalog.components


def test_what_a_module_prints_goes_nowhere(site: Site, found: Found, capfd: pytest.CaptureFixture[str]) -> None:
    before = "import os, sys\nprint('noise', flush=True)\nos.write(1, b'noise')\nprint('noise', file=sys.stderr)\n"
    site.part("loud", files={"loud/plugin.py": part("loud", before=before)})
    assert "runtime/loud" in found().components
    assert capfd.readouterr() == ("", "")


def test_what_a_module_starts_ends_with_its_inspection(site: Site, found: Found, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    before = (
        "import os, subprocess, threading, time\n"
        f"open({str(pid_file)!r}, 'w').write(str(subprocess.Popen(['sleep', '60']).pid))\n"
        "threading.Thread(target=time.sleep, args=(60,)).start()\n"
    )
    site.part("spawns", files={"spawns/plugin.py": part("spawns", before=before)})
    assert "runtime/spawns" in found().components
    deadline = time.monotonic() + 60
    while _is_alive(pid_file.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _is_alive(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_one_id_claimed_by_two_is_nobodys(site: Site, found: Found) -> None:
    site.part("left", files={"left/plugin.py": part("same")})
    site.part("right", files={"right/plugin.py": part("same")}, facts=None)
    catalog = found()
    assert catalog.get("runtime/same") is None
    assert reasons(catalog, "left 1.0") == [
        "left.plugin: component runtime/same is also claimed by right 1.0 (right.plugin); uninstall all but one"
    ]
    assert reasons(catalog, "right 1.0") == [
        "right.plugin: component runtime/same is also claimed by left 1.0 (left.plugin); uninstall all but one"
    ]


def test_one_entry_point_declared_by_two_is_nobodys(site: Site, found: Found) -> None:
    site.part("left", entries={"runtime.same": "left.plugin"})
    site.part("right", entries={"runtime.same": "right.plugin"})
    catalog = found()
    assert not {"runtime/left", "runtime/right"} & catalog.components.keys()
    assert "the entry point 'runtime.same' is also declared by right 1.0 (right.plugin)" in "".join(
        reasons(catalog, "left 1.0")
    )
    assert "the entry point 'runtime.same' is also declared by left 1.0 (left.plugin)" in "".join(
        reasons(catalog, "right 1.0")
    )


def test_one_module_declared_twice_is_used_for_neither(site: Site, found: Found) -> None:
    site.part("double", entries={"runtime.a": "double.plugin", "runtime.b": "double.plugin"})
    catalog = found()
    assert catalog.get("runtime/double") is None
    assert reasons(catalog, "double 1.0") == [
        "double.plugin: the module 'double.plugin' is declared again by double 1.0; declare it once"
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("files", "module"),
    [
        pytest.param({"moby/extra.py": ""}, "intruder.plugin", id="in the framework"),
        pytest.param({"moby_runtime/extra/__init__.py": ""}, "intruder.plugin", id="in a package of parts"),
        pytest.param({"moby_runtime.py": ""}, "intruder.plugin", id="a module of the same name"),
        pytest.param({}, "moby_runtime.extra.plugin", id="just by its entry point"),
    ],
)
def test_files_under_our_names_bar_a_distribution(site: Site, found: Found, files: dict[str, str], module: str) -> None:
    site.part("intruder", files=files, entries={"runtime.intruder": module})
    catalog = found()
    assert catalog.get("runtime/intruder") is None
    (reason,) = reasons(catalog, "intruder 1.0")
    name = "moby" if "moby/extra.py" in files else "moby_runtime"
    assert reason == (
        f"it ships files under {name}, which belongs to moby-framework 0.1.0; a plugin needs a package name of its own"
    )


def test_a_distribution_without_parts_may_not_ship_our_names_either(site: Site, found: Found) -> None:
    site.install("shadow", {"moby_runtime/native/plugin.py": ""}, entries={})
    assert "ships files under moby_runtime" in reasons(found(), "shadow 1.0")[0]


def test_a_name_that_only_begins_like_ours_is_fine(site: Site, found: Found) -> None:
    site.part("moby-runtime-mine")
    assert "runtime/moby-runtime-mine" in found().components


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("{", "its moby-components.json can't be read", id="no JSON"),
        pytest.param("[]", "has no schema number", id="a list"),
        pytest.param('{"schema": 1}', "has no list of components", id="no components"),
        pytest.param('{"schema": 1, "components": [{}]}', "is wrong: facts of a component: Facts has no 'id'", id="{}"),
        pytest.param(
            facts_file.text_of([facts("liar", distribution="other 1.0")]), "speaks of other 1.0", id="of another"
        ),
        pytest.param(
            facts_file.text_of([facts("liar", module="os")]),
            "names the module os, which is none of its entry points",
            id="foreign module",
        ),
        pytest.param(
            facts_file.text_of([facts("liar", module="liar.gone")]),
            "names the module liar.gone, which isn't there",
            id="missing module",
        ),
    ],
)
def test_facts_that_lie_are_reported(site: Site, found: Found, text: str, reason: str) -> None:
    site.part("liar", facts=text, entries={"runtime.liar": "liar.plugin", "runtime.gone": "liar.gone"})
    catalog = found()
    assert catalog.get("runtime/liar") is None
    (said,) = reasons(catalog, "liar 1.0")
    assert reason in said
    assert said.endswith("; install the distribution again")


def test_facts_that_cannot_be_read_are_reported(site: Site, found: Found) -> None:
    info = site.part("folder")
    (info / facts_file.IN_DIST_INFO).mkdir(parents=True)
    assert "can't be read" in reasons(found(), "folder 1.0")[0]


def test_an_extension_module_is_there(tmp_path: Path) -> None:
    (tmp_path / "fast.cpython-311-x86_64-linux-gnu.so").touch()
    assert facts_file.is_there(tmp_path, "fast")


@pytest.mark.parametrize(
    ("written_for", "offered", "reason"),
    [
        pytest.param(1, 1, "", id="the same"),
        pytest.param(1, 2, "", id="one older"),
        pytest.param(1, 3, "and this framework serves 2 and 3; install a newer odd 1.0", id="two older"),
        pytest.param(2, 1, "and this framework serves 1; install a newer framework", id="newer"),
    ],
)
def test_a_part_for_another_contract(
    site: Site, found: Found, monkeypatch: pytest.MonkeyPatch, written_for: int, offered: int, reason: str
) -> None:
    monkeypatch.setattr(catalog_module, "contract_versions", lambda: {"runtime": offered})
    site.part("odd", files={"odd/plugin.py": part("odd", contract=written_for)})
    catalog = found()
    assert ("runtime/odd" in catalog.components) is (reason == "")
    start = f"odd.plugin: component runtime/odd was written for version {written_for} of the contract runtime, "
    assert reasons(catalog, "odd 1.0") == ([start + reason] if reason else [])


def test_a_distribution_is_known_by_its_folder_where_it_has_no_metadata(site: Site, found: Found) -> None:
    (site.part("bare", record=False) / "METADATA").unlink()
    bare = found().get("runtime/bare")
    assert bare is not None
    assert bare.distribution == "bare 1.0"


def test_entries_of_the_path_that_are_no_folders_are_passed_over(
    site: Site, found: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", ["", "/nowhere", "/etc/passwd", *sys.path])
    site.part("tidy")
    assert "runtime/tidy" in found().components


def test_comments_and_extras_in_entry_points(site: Site, found: Found) -> None:
    site.part("notes", entries={"# runtime.x": "gone", "; runtime.y": "gone", "runtime.notes": "notes.plugin [extra]"})
    catalog = found()
    assert "runtime/notes" in catalog.components
    assert reasons(catalog, "notes 1.0") == []


def test_a_broken_direct_url_is_none(site: Site, found: Found) -> None:
    (site.part("odd") / "direct_url.json").write_text(json.dumps([]))
    assert "runtime/odd" in found().components


def test_the_frameworks_own_parts_are_found(shared_cache: Path) -> None:
    catalog = discover(cache=shared_cache)
    assert reasons(catalog, "moby-framework 0.1.0") == []
    assert {"packager", "runtime", "supervisor"} <= set(catalog.kinds())
