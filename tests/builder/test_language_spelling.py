"""Which name was meant: as far as trying all ways says, and in a time that grows with the names alone."""

import time

from hypothesis import given
from hypothesis import strategies as st
from moby_builder.dockerfile.language.checks.checking import Known, check
from moby_builder.dockerfile.language.parser import parse
from moby_builder.dockerfile.language.spelling import nearest, suggestion

NAMES = st.text(alphabet="ab", max_size=6)


def distance(one, other):
    if not one or not other:
        return len(one) + len(other)
    return min(
        distance(one[1:], other) + 1,
        distance(one, other[1:]) + 1,
        distance(one[1:], other[1:]) + (one[0] != other[0]),
    )


@given(NAMES, NAMES)
def test_a_name_is_near_where_two_changes_make_it_the_other(one, other):
    assert nearest(one, [other]) == (other if 0 < distance(one, other) <= 2 else "")


def test_the_nearest_is_meant():
    assert suggestion("bubsy", ["bus", "busby", "busybox"]) == " (did you mean busby?)"
    assert suggestion("other", ["bus", "busby"]) == ""


def test_names_that_are_long_or_many_take_no_longer_than_reading_them():
    start = time.process_time()
    assert nearest("a" * 60_000, ["b" * 60_000, "a" * 59_998 + "bb"]) == "a" * 59_998 + "bb"
    lines = (f"ENV a{number:05}=$b{number:05}" for number in range(1500))
    found = check(parse("\n".join(("FROM scratch", *lines)).encode()), Known())
    assert len([each for each in found if each.rule == "UndefinedVar"]) == 1500
    assert time.process_time() - start < 20


def test_a_stage_is_checked_once_where_all_are():
    """However many are made of it."""
    stages = "".join(f"FROM s{number} AS s{number + 1}\nWORKDIR /a\n" for number in range(1000))
    start = time.process_time()
    found = check(parse(f"FROM scratch AS s0\nWORKDIR relative\n{stages}".encode()), Known(target=None))
    assert [each.rule for each in found] == ["WorkdirRelativePath"]
    assert time.process_time() - start < 20
