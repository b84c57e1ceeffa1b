"""Which files are watched, and what is seen of them."""

import os
from pathlib import Path

import pytest
from moby_orchestrator.compose import watching
from moby_orchestrator.compose.files.reading import Asked, read
from moby_orchestrator.compose.ignoring import ignored
from moby_orchestrator.compose.observed import Container
from moby_orchestrator.compose.verb import Call
from moby_orchestrator.compose.watching import changes, rules, scan

from moby.errors import Conflict, Invalid, NotFound


@pytest.mark.parametrize(
    ("lines", "path", "expected"),
    [
        (["node_modules/"], "node_modules/x/y", True),
        (["node_modules/"], "sub/node_modules/x", False),
        (["**/node_modules"], "sub/node_modules/x", True),
        (["**/node_modules"], "node_modules", True),
        (["*.tmp"], "a.tmp", True),
        (["*.tmp"], "sub/a.tmp", False),
        (["**/*.tmp"], "sub/a.tmp", True),
        (["a?c"], "abc", True),
        (["a?c"], "a/c", False),
        (["[ab].py"], "a.py", True),
        (["[!ab].py"], "a.py", False),
        (["[^ab].py"], "c.py", True),
        (["/build"], "build/out", True),
        (["./build"], "build/out", True),
        (["build"], "builder", False),
        (["# a comment", "", "  x  "], "x", True),
        (["docs", "!docs/readme"], "docs/readme", False),
        (["docs", "!docs/readme"], "docs/other", True),
        (["a.b"], "axb", False),
        (["a**b"], "a/x/b", True),
    ],
)
def test_patterns(lines, path, expected):
    assert ignored(lines)(path) is expected


@pytest.fixture
def project(tmp_path):
    def make(watch, build=""):
        (tmp_path / "src").mkdir(exist_ok=True)
        text = f"services: {{a: {{image: x, {build} develop: {{watch: {watch}}}}}}}"
        (tmp_path / "compose.yaml").write_text(text)
        return read(Asked(files=(str(tmp_path / "compose.yaml"),)), {})

    return make


def test_what_is_seen(project, tmp_path):
    (tmp_path / ".dockerignore").write_text("src/skip\n**/deep\nother\n!src/skip/kept\n")
    found = project("[{action: sync, path: ./src, target: /t, ignore: [mine]}]", "build: .,")
    (rule,) = rules(found, [])
    assert (rule.service, rule.action, rule.target) == ("a", "sync", "/t")
    for name in ("a", "mine/x", "skip/x", "skip/kept", "x/deep/y", "other", ".git/config", "a~"):
        path = tmp_path / "src" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    (tmp_path / "src/link").symlink_to("/nonexistent")
    before = scan(rule)
    assert sorted(before) == ["a", "link", "other", "skip/kept"]
    (tmp_path / "src/a").write_text("more")
    (tmp_path / "src/other").unlink()
    (tmp_path / "src/new").write_text("")
    assert changes(before, scan(rule)) == (["a", "new"], ["other"])
    assert changes(before, before) == ([], [])


def test_one_file(project, tmp_path):
    file = tmp_path / "one"
    file.write_text("")
    (rule,) = rules(project("[{action: sync, path: ./one, target: /t/one}]"), [])
    before = scan(rule)
    assert list(before) == [""]
    os.utime(file, (1, 1))
    assert changes(before, scan(rule)) == ([""], [])


def test_what_can_t_be_watched(project, tmp_path):
    with pytest.raises(NotFound, match="none of the selected services is configured for watch"):
        rules(project("[{action: sync, path: ./src, target: /t}]"), ["b"])
    with pytest.raises(NotFound, match="nonesuch isn't there"):
        rules(project("[{action: sync, path: ./nonesuch, target: /t}]"), [])
    with pytest.raises(Invalid, match="can't rebuild what isn't built"):
        rules(project("[{action: rebuild, path: ./src}]"), [])
    assert Path(rules(project("[{action: rebuild, path: ./src}]", "build: .,"), [])[0].path) == tmp_path / "src"


class Engine:
    """Whose programs in containers all end with 3."""

    def post(self, *path, **more):
        return {"Id": "x"}

    def get(self, *path, **more):
        return {"ExitCode": 3}


def test_a_program_that_fails():
    call = Call(None, Engine(), None, ())
    web = Container("c1", "app-web-1", "web", 1, "running", {}, {})
    with pytest.raises(Conflict, match="make in app-web-1 ended with 3"):
        watching._run(call, web, {"Cmd": ["make"]})
