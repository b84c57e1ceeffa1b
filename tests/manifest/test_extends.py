"""What a manifest may extend, in which order, and what is said when it can't be read."""

from collections.abc import Callable
from pathlib import Path

import pytest

from moby import manifest
from moby.errors import Problem
from moby.manifest import Assembly, sources

Put = Callable[..., Path]


def _problems(path: Path | str) -> tuple[Problem, ...]:
    reading = manifest.read(path, environ={})
    assert reading.assembly is None
    return reading.problems


def _load(path: Path | str) -> Assembly:
    return manifest.load(path, environ={})


def test_later_ones_win_in_order(put: Put) -> None:
    put("name: a\ncomponents: {x: a, y: a, z: a}", "a.yaml")
    put("name: b\ncomponents: {y: b, z: b}", "b.yaml")
    assembly = _load(put("extends: [a.yaml, b.yaml]\ncomponents: {z: c}", "c.yaml"))
    assert [each.use for each in assembly.choices] == ["a", "b", "c"]
    assert assembly.name == "b"
    assert assembly.files == ("a.yaml", "b.yaml", "c.yaml")
    assert list(assembly.digests) == list(assembly.files)
    assert len(assembly.digests["a.yaml"]) == 64


def test_a_diamond_is_merged_once(put: Put) -> None:
    put("components: {x: base}", "base.yaml")
    put("extends: [base.yaml]\ncomponents: {x: left}", "left.yaml")
    put("extends: [./base.yaml]\ncomponents: {y: right}", "right.yaml")
    assembly = _load(put("extends: [left.yaml, right.yaml]", "top.yaml"))
    assert [each.use for each in assembly.choices] == ["left", "right"]
    assert assembly.files == ("base.yaml", "left.yaml", "right.yaml", "top.yaml")


def test_paths_are_relative_to_the_file_that_names_them(put: Put) -> None:
    put("components: {x: up}", "up.yaml")
    put("extends: [../../up.yaml]", "a/b/mid.yaml")
    assembly = _load(put("extends: [b/mid.yaml]", "a/top.yaml"))
    assert assembly.files == ("up.yaml", "a/b/mid.yaml", "a/top.yaml")


def test_an_absolute_path(put: Put) -> None:
    base = put("components: {x: base}", "base.yaml").absolute()
    assert _load(put(f"extends: [{base}]")).choices[0].use == "base"


def test_a_bare_name_is_a_shipped_assembly(put: Put) -> None:
    assembly = _load(put("extends: [quickstart]\nname: mine"))
    assert assembly.name == "mine"
    assert assembly.files[0].endswith("assemblies/quickstart.yaml")
    assert assembly.choices == _load("quickstart").choices


@pytest.mark.parametrize(
    ("reference", "message", "fix"),
    [
        pytest.param("gone.yaml", "can't read gone.yaml: No such file or directory", "", id="missing"),
        pytest.param("dir/", "can't read dir: Is a directory", "", id="folder"),
        pytest.param(
            "quickstar",
            "unknown shipped assembly 'quickstar', did you mean 'quickstart'?",
            "write 'quickstart'",
            id="bare",
        ),
        pytest.param(
            "oci://example.org/x",
            "can't read 'oci://example.org/x' here: oci:// is for extends",
            "extends: [oci://example.org/x] in a manifest of your own",
            id="oci",
        ),
        pytest.param(
            "https://example.org/x", "https:// isn't supported", "name a local file or a shipped assembly", id="https"
        ),
        pytest.param("file:///etc/x", "file:// isn't supported", "name a local file or a shipped assembly", id="file"),
        pytest.param('""', "can't extend '': that is no path", "", id="none"),
        pytest.param('"${base}"', "can't extend '${base}': parameters aren't known yet here", "", id="parameter"),
        pytest.param("m.yaml", "extends goes round in a circle: m.yaml -> m.yaml", "take this line out", id="itself"),
    ],
)
def test_reported_where_it_is_extended(put: Put, reference: str, message: str, fix: str) -> None:
    path = put(f"extends:\n- {reference}\n")
    path.with_name("dir").mkdir()
    problem = _problems(path)[0]
    assert message in problem.message
    assert str(problem.where) == "m.yaml:3:3"
    assert problem.fixes == ((fix,) if fix else ())


def test_a_bare_name_of_a_file_beside_is_told_how_to_name_it(put: Put) -> None:
    put("name: base", "base.yaml").with_name("base").mkdir()
    unknown, meant = _problems(put("extends: [base]"))
    assert "unknown shipped assembly 'base'" in unknown.message
    assert (meant.message, meant.fixes) == ("base.yaml is also a file here", ("./base.yaml",))
    assert str(meant.where) == str(unknown.where) == "m.yaml:2:11"


def test_a_loop_is_reported_with_its_chain_where_it_closes(put: Put) -> None:
    put("extends: [c.yaml]", "b.yaml")
    put("extends: [b.yaml]", "c.yaml")
    problem = _problems(put("extends: [b.yaml]", "a.yaml"))[0]
    assert problem.message == "extends goes round in a circle: b.yaml -> c.yaml -> b.yaml"
    assert str(problem.where) == "c.yaml:2:11"


def test_a_loop_through_a_link_is_one(put: Put) -> None:
    path = put("extends: [link.yaml]")
    Path("link.yaml").symlink_to(path)
    assert _problems(path)[0].message == "extends goes round in a circle: m.yaml -> link.yaml"


def test_a_missing_file_is_reported_with_the_chain(put: Put) -> None:
    put("extends: [gone.yaml]", "b.yaml")
    problem = _problems(put("extends: [b.yaml]", "a.yaml"))[0]
    assert problem.because == ("b.yaml extends gone.yaml", "a.yaml extends b.yaml")


def test_what_a_missing_file_may_have_held_is_not_complained_about(put: Put) -> None:
    text = 'extends: [gone.yaml]\ncomponents: {k: {config: {x: null, y: "${z}"}}, j: null, i: {n: {served: true}}}'
    assert [each.message for each in _problems(put(text))] == [
        "can't read gone.yaml: No such file or directory",
        "unknown key 'n' in a part of i (valid: as, config, default, policy, served, use, version)",
    ]


def test_problems_of_every_file_are_reported(put: Put) -> None:
    put("nmae: x", "a.yaml")
    put("a: [", "b.yaml")
    found = _problems(put("extends: [a.yaml, b.yaml]\nzz: 1", "c.yaml"))
    assert {each.where.source for each in found if each.where} == {"a.yaml", "b.yaml", "c.yaml"}


def test_a_chain_that_is_too_long(put: Put) -> None:
    for at in range(60):
        put(f"extends: [m{at + 1}.yaml]", f"m{at}.yaml")
    found = _problems(put("", "m60.yaml").with_name("m0.yaml"))
    assert found[0].message == "extends more than 200 files, or more than 50 in a chain"


def test_too_many_files(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MOST_FILES", 3)
    for at in range(4):
        put("", f"m{at}.yaml")
    found = _problems(put("extends: [m0.yaml, m1.yaml, m2.yaml, m3.yaml]"))
    assert "extends more than 3 files" in found[0].message


def test_shipped_assemblies_stay_among_themselves(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    put("components: {x: a}", "shipped/base.yaml")
    put("", "outside.yaml")
    put("extends: [base, base.yaml]", "shipped/good.yaml")
    put("extends: [../outside.yaml]", "shipped/bad.yaml")
    monkeypatch.setattr(sources, "shipped_folder", lambda: Path("shipped").absolute())
    assert _load("good").files == ("shipped/base.yaml", "shipped/good.yaml")
    assert "leaves the folder of shipped assemblies" in _problems("bad")[0].message
    assert manifest.shipped() == ("bad", "base", "good")


@pytest.mark.parametrize(
    ("file", "message"),
    [
        pytest.param("gone.yaml", "can't read gone.yaml: No such file or directory", id="file"),
        pytest.param(".", "can't read .: Is a directory", id="folder"),
        pytest.param("nothing-like-it", "unknown shipped assembly 'nothing-like-it' (valid: ", id="name"),
        pytest.param("oci://example.org/x", "oci:// is for extends", id="oci"),
        pytest.param("a\0b", "'a\\x00b' is no path", id="nul"),
        pytest.param("x" * 5000, "unknown shipped assembly", id="long-name"),
        pytest.param("./" + "x" * 5000, "File name too long", id="long-path"),
    ],
)
def test_a_root_that_is_not_there(put: Put, file: str, message: str) -> None:
    put("")
    assert message in _problems(file)[0].message


def test_a_file_called_like_a_shipped_assembly_might_be(put: Put) -> None:
    put("", "local")
    assert _problems("local")[1].fixes == ("./local",)
    assert _load("./local").name == "local"


def test_an_unreadable_file(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put("")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # as root, every file can be read
    assert _problems(path)[0].message == "can't read m.yaml: Permission denied"


@pytest.mark.parametrize("name", manifest.shipped())
def test_every_shipped_assembly_loads(name: str) -> None:
    assert _load(name).name == name
