"""Protocol buffers: what is written others read, what others write is read, and anything else is refused by name."""

from enum import Enum
from typing import Annotated, get_args, get_origin

import pytest
from attrs import fields
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given, settings
from hypothesis import strategies as st
from moby_frontend.docker.buildkit.messages import decode, encode
from moby_frontend.docker.buildkit.protocol import common, control, gateway, lending
from moby_frontend.docker.buildkit.protocol.common import Timestamp, timestamp
from moby_frontend.docker.buildkit.protocol.lending import DATA, BlobWrite, Packet, Stat

from moby.errors import Invalid
from moby.grpc import messages

ALL = [
    each for module in (common, control, gateway, lending) for each in vars(module).values()
    if isinstance(each, type) and hasattr(each, "__attrs_attrs__")
]  # fmt: skip
TYPES = {str: 9, bytes: 12, int: 3, bool: 8}


class Label(Enum):
    ONE, MANY = 1, 3


class Oracle:
    """The same messages as Google's own library has them, made of our declarations."""

    def __init__(self):
        self.file = descriptor_pb2.FileDescriptorProto(name="ours.proto", package="ours", syntax="proto3")
        for kind in ALL:
            self._add(kind)
        pool = descriptor_pool.DescriptorPool()
        pool.Add(self.file)
        self.classes = {
            each.name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"ours.{each.name}"))
            for each in self.file.message_type
        }

    def _add(self, kind):
        if any(each.name == kind.__name__ for each in self.file.message_type):
            return
        made = self.file.message_type.add(name=kind.__name__)
        for name, hint in kind.__annotations__.items():
            if get_origin(hint) is Annotated:
                self._field(made, name, *get_args(hint))

    def _field(self, made, name, kind, number):
        if get_origin(kind) is dict:
            entry = made.nested_type.add(name=f"{name.title().replace('_', '')}Entry")
            entry.options.map_entry = True
            for index, (label, each) in enumerate(zip(("key", "value"), get_args(kind), strict=True), 1):
                self._plain(entry, label, each, index, Label.ONE)
            made.field.add(
                name=name, number=number, label=3, type=11, type_name=f".ours.{made.name}.{entry.name}"
            )  # fmt: skip
        elif get_origin(kind) is list:
            self._plain(made, name, get_args(kind)[0], number, Label.MANY)
        else:
            self._plain(made, name, kind if kind in TYPES else get_args(kind)[0], number, Label.ONE)

    def _plain(self, made, name, kind, number, label):
        more = {} if kind in TYPES else {"type_name": f".ours.{kind.__name__}"}
        made.field.add(name=name, number=number, label=label.value, type=TYPES.get(kind, 11), **more)


@pytest.fixture(scope="module")
def oracle():
    return Oracle()


def values(kind):
    """Return a strategy for messages of a kind."""
    given = {name: _value(*get_args(hint)) for name, hint in kind.__annotations__.items()}
    return st.builds(kind, **given)


def _value(kind, number):
    if get_origin(kind) is dict:
        return st.dictionaries(_one(get_args(kind)[0]), _one(get_args(kind)[1]), max_size=2)
    if get_origin(kind) is list:
        return st.lists(_one(get_args(kind)[0]), max_size=2)
    return _one(kind) if kind in TYPES else st.none() | _one(get_args(kind)[0])


def _one(kind):
    plain = {
        str: st.text(st.characters(exclude_categories=["Cs"]), max_size=20), bytes: st.binary(max_size=20),
        int: st.integers(-(1 << 63), (1 << 63) - 1), bool: st.booleans(),
    }  # fmt: skip
    return plain.get(kind) if kind in plain else st.deferred(lambda: values(kind))


class TestOracle:
    @pytest.mark.parametrize("kind", ALL, ids=lambda each: each.__name__)
    def test_both_ways(self, oracle, kind):
        theirs = oracle.classes[kind.__name__]

        @settings(max_examples=20, deadline=None)
        @given(values(kind))
        def check(message):
            data = encode(message)
            assert decode(kind, data) == message
            assert decode(kind, theirs.FromString(data).SerializeToString()) == message

        check()

    def test_all_kinds_are_compared(self):
        assert len(ALL) > 50
        assert {"Packet", "SolveRequest", "StatusResponse", "GatewaySolve"} <= {each.__name__ for each in ALL}


class TestReading:
    def test_fields_that_nobody_reads_are_passed_over(self):
        data = encode(BlobWrite(1, "ref", 2, "x", 3, b"data", {"a": "b"}))
        assert decode(Timestamp, b"\x08\x05" + b"\x9a\x06\x01x" + b"\x11" + bytes(8) + b"\x15" + bytes(4)) == Timestamp(
            5
        )
        assert decode(lending.Bytes, data) is not None

    def test_names_of_any_bytes(self):
        stat = Stat("caf\udce9")
        assert encode(stat) == b"\x0a\x04caf\xe9"
        assert decode(Stat, encode(stat)) == stat

    def test_the_last_of_a_field_counts(self):
        assert decode(Timestamp, b"\x08\x01\x08\x02") == Timestamp(2)

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            (b"\x08", "is cut short"),
            (b"\x0a\x05abc", "is cut short"),
            (b"\x08\xff", "is cut short"),
            (b"\x11\x00", "is cut short"),
            (b"\x08" + b"\xff" * 10 + b"\x01", "more than ten bytes"),
            (b"\x0b", "the unknown sort 3"),
        ],
    )
    def test_what_is_none(self, data, words):
        with pytest.raises(Invalid, match=words):
            decode(Packet if data[:1] == b"\x08" else Stat, data)

    @given(st.binary(max_size=200))
    def test_anything(self, data):
        """Either a message or Invalid."""
        for kind in (Packet, control.SolveRequest, gateway.GatewaySolve):
            try:
                found = decode(kind, data)
            except Invalid:
                continue
            assert decode(kind, encode(found)) == found

    def test_numbers(self):
        assert encode(Packet(DATA, None, 300, b"x")) == b"\x08\x02\x18\xac\x02\x22\x01x"
        assert decode(Stat, encode(Stat(time_ns=-1))).time_ns == -1

    def test_times(self):
        assert timestamp(0) is None
        assert timestamp(1_500_000_001) == Timestamp(1, 500_000_001)


def test_each_number_is_there_once():
    for kind in ALL:
        numbers = [each.number for each in messages._fields(kind)]
        assert len(numbers) == len(set(numbers)) == len(fields(kind)), kind
