"""What is seen of a bundle before a command or a daemon is given it."""

import json

import pytest

from moby.contracts.types import Stdio
from moby.errors import Invalid, NotFound
from moby.oci import bundle


def test_a_configuration_is_an_object(tmp_path):
    with pytest.raises(NotFound, match=r"there is no config\.json in it"):
        bundle.config_of(tmp_path)
    with pytest.raises(NotFound, match="there is no bundle"):
        bundle.config_of(tmp_path / "b")
    for text, words in (("{", "can't be read"), ("[]", "must be an object"), ("[" * 100_000, "can't be read")):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(Invalid, match=words):
            bundle.config_of(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"root": {}}))
    assert bundle.config_of(tmp_path) == {"root": {}}


@pytest.mark.parametrize("process", [{}, {"args": []}, {"args": [""]}, {"args": ["a", 1]}, {"args": "a"}])
def test_a_process_has_a_program(process):
    with pytest.raises(Invalid, match=r"process\.args"):
        bundle.check_process({"cwd": "/", **process})


@pytest.mark.parametrize("cwd", [None, "a"])
def test_a_process_has_a_folder(cwd):
    with pytest.raises(Invalid, match=r"process\.cwd"):
        bundle.check_process({"args": ["a"], "cwd": cwd})


def test_a_terminal_is_on_both_sides():
    bundle.check_terminal({}, Stdio())
    with pytest.raises(Invalid, match=r"process\.terminal"):
        bundle.check_terminal({"terminal": True}, Stdio())


def test_a_path_is_a_namespace_of_its_kind(tmp_path):
    bundle.check_namespace("network", "/proc/self/ns/net", "f")
    for path, words in (
        ("/proc/self/ns/uts", "is no namespace of the type network"),
        (str(tmp_path), "is no namespace of the type network"),
        (str(tmp_path / "x"), "cannot open"),
    ):
        with pytest.raises(Invalid, match=f"config.json: f: .*{words}"):
            bundle.check_namespace("network", path, "f")
