"""How words become flags."""

import pytest
from moby_runtime.native.cli.flags import LIST, NUMBER, SWITCH, TEXT, WrongUsage, parse
from moby_runtime.native.cli.verbs import GLOBAL, VERBS

FLAGS = (
    ("bundle", "b", TEXT, "x"), ("force", "f", SWITCH, "x"), ("env", "e", LIST, "x"), ("preserve-fds", "", NUMBER, "x"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("words", "values", "rest"),
    [
        pytest.param("box", {}, ["box"], id="argument"),
        pytest.param("--bundle x box", {"bundle": "x"}, ["box"], id="value"),
        pytest.param("--bundle=x=y box", {"bundle": "x=y"}, ["box"], id="equals"),
        pytest.param("--bundle= box", {"bundle": ""}, ["box"], id="empty"),
        pytest.param("-b x", {"bundle": "x"}, [], id="letter"),
        pytest.param("-bundle x", {"bundle": "x"}, [], id="one-dash"),
        pytest.param("--force box", {"force": True}, ["box"], id="switch"),
        pytest.param("--force=false box", {"force": False}, ["box"], id="switch-off"),
        pytest.param("--force=T box", {"force": True}, ["box"], id="switch-letter"),
        pytest.param("box -f", {"force": True}, ["box"], id="after-the-argument"),
        pytest.param("-e a=1 --env b,c", {"env": ["a=1", "b,c"]}, [], id="list"),
        pytest.param("--preserve-fds 3", {"preserve-fds": 3}, [], id="number"),
        pytest.param("-f -- -b", {"force": True}, ["-b"], id="end-of-flags"),
        pytest.param("- -f", {"force": True}, ["-"], id="dash-alone"),
    ],
)
def test_words(words, values, rest):
    assert parse(words.split(), FLAGS) == (values, rest)


@pytest.mark.parametrize("limit", [1, 2])
def test_what_follows_an_argument_may_be_the_program_s(limit):
    words = ["-f", "box", "ls", "-b", "--", "x"]
    wanted = ({"force": True}, ["box", "ls", "-b", "--", "x"])
    assert parse(words, FLAGS, 1) == wanted
    assert parse(["a", "b", "-f"], FLAGS, limit) == (({}, ["a", "b", "-f"]))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--nonsense", "flag provided but not defined: --nonsense"),
        ("--nonsense=x", "flag provided but not defined: --nonsense"),
        ("--bundle", "flag needs an argument: --bundle"),
        ("--force=maybe", "invalid boolean value: --force=maybe"),
        ("--preserve-fds x", "invalid value 'x' for flag --preserve-fds: it takes a number"),
    ],
)
def test_what_can_t_be_understood(words, told):
    with pytest.raises(WrongUsage) as caught:
        parse(words.split(), FLAGS)
    assert str(caught.value) == told


def test_no_flag_is_there_twice():
    for flags in (GLOBAL, *(verb.flags for verb in VERBS.values())):
        names = [name for flag in flags for name in flag[:2] if name]
        assert len(names) == len(set(names))
