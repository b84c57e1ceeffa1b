"""What the native runtime answers from memory, since an engine asks the same again and again, is what it would read."""

import copy
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest
from moby_runtime.native.records import Record, Records
from moby_runtime.native.spec import process_spec

from moby.errors import Invalid, NotFound

PROCESS: Mapping[str, Any] = {"args": ["/bin/true"], "cwd": "/", "user": {"uid": 1, "gid": 0}, "env": ["A=b"]}


def test_the_same_process_is_the_same_answer():
    first = process_spec(PROCESS, {})
    assert process_spec(copy.deepcopy(PROCESS), {}) is first


@pytest.mark.parametrize(
    "change",
    [{"user": {"uid": 2, "gid": 0}}, {"args": ["/bin/false"]}, {"env": ["A=c"]}, {"cwd": "/tmp"}],
    ids=lambda change: next(iter(change)),
)
def test_another_process_is_another_answer(change):
    first = process_spec(PROCESS, {})
    second = process_spec({**PROCESS, **change}, {})
    assert second != first
    assert process_spec(PROCESS, {}) == first


def test_a_process_that_was_changed_meanwhile():
    data = copy.deepcopy(PROCESS)
    process_spec(data, {})
    data["args"].append("more")
    assert process_spec(data, {}).args == ("/bin/true", "more")


def test_what_equals_a_number_is_still_refused():
    process_spec(PROCESS, {})
    for equal in (True, 1.0):
        with pytest.raises(Invalid, match=r"process\.user\.uid"):
            process_spec({**PROCESS, "user": {"uid": equal, "gid": 0}}, {})


def test_what_is_wrong_is_refused_each_time():
    for _ in range(2):
        with pytest.raises(Invalid, match=r"process\.args"):
            process_spec({**PROCESS, "args": []}, {})


def test_what_its_container_says_of_all_counts():
    plain = process_spec(PROCESS, {})
    assert process_spec(PROCESS, {"personality": {"domain": "LINUX32"}}) != plain


def test_what_no_json_has_is_refused():
    process_spec(PROCESS, {})
    with pytest.raises(Invalid, match="must be an object"):
        process_spec(MappingProxyType({**PROCESS}), {})


def test_a_record_that_was_written_anew(tmp_path):
    records = Records(str(tmp_path))
    records.reserve(Record("one", "/bundle", "boot"))
    first = records.read("one")
    assert records.read("one") is first
    records.write(Record("one", "/bundle", "boot", pid=7))
    assert records.read("one").pid == 7


def test_a_record_of_another_container(tmp_path):
    records = Records(str(tmp_path))
    for name in ("one", "two"):
        records.reserve(Record(name, "/bundle", "boot"))
    assert [records.read(name).id for name in ("one", "two", "one")] == ["one", "two", "one"]


def test_a_record_that_went(tmp_path):
    records = Records(str(tmp_path))
    records.reserve(Record("one", "/bundle", "boot"))
    records.read("one")
    records.remove("one")
    with pytest.raises(NotFound):
        records.read("one")
