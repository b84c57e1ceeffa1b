"""What counts in a step's key, pair by pair."""

import pytest
from attrs import evolve
from moby_builder.dockerfile.operations import (
    Copy,
    CopySource,
    EmptySource,
    ImageSource,
    MakeFolder,
    MountKind,
    Node,
    Owner,
    Placed,
    Run,
    RunMount,
    Stack,
    Write,
)
from moby_builder.dockerfile.solver import keys

from moby.contracts.types import ImageReference, Limits, Platform
from moby.oci.digest import sha256

RUN = Run(("/bin/sh", "-c", "make"), ("A=1",), mounts=(RunMount(MountKind.CACHE, "/cache", id="one"),))
COPY = Copy((CopySource(1, "/src/a"),), "/d/")
WRITE = Write((Placed("a", b"one"),), "/d/")
FOLDER = MakeFolder("/work")


def mounted(**changes):
    return evolve(RUN, mounts=(evolve(RUN.mounts[0], **changes),))


def copied(**changes):
    return evolve(COPY, sources=(evolve(COPY.sources[0], **changes),))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(RUN, evolve(RUN, proxy=("HTTP_PROXY=http://proxy",)), id="proxies"),
        pytest.param(RUN, mounted(id="other"), id="a cache mount's id"),
        pytest.param(RUN, mounted(sharing="locked"), id="how a cache mount is shared"),
        pytest.param(RUN, evolve(RUN, limits=Limits(pids=10)), id="limits"),
        pytest.param(
            evolve(RUN, hosts=(("a", "1.1.1.1"),)), evolve(RUN, hosts=(("a", "2.2.2.2"),)), id="an added host's address"
        ),
    ],
)
def test_what_makes_no_difference(one, other):
    assert keys.key(Node(one), ["base"]) == keys.key(Node(other), ["base"])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(RUN, evolve(RUN, arguments=("/bin/sh", "-c", "make all")), id="the command"),
        pytest.param(RUN, evolve(RUN, environment=("A=1", "B=2")), id="a variable that nobody uses"),
        pytest.param(RUN, evolve(RUN, network="none"), id="the network"),
        pytest.param(RUN, evolve(RUN, insecure=True), id="privileges"),
        pytest.param(RUN, evolve(RUN, user="ann"), id="the user"),
        pytest.param(RUN, evolve(RUN, folder="/w"), id="the working directory"),
        pytest.param(RUN, evolve(RUN, hostname="h"), id="the host name"),
        pytest.param(RUN, evolve(RUN, hosts=(("a", "1.1.1.1"),)), id="an added host's name"),
        pytest.param(RUN, evolve(RUN, shm_bytes=1), id="the size of /dev/shm"),
        pytest.param(RUN, evolve(RUN, ulimits=(("nofile", 1, 1),)), id="a ulimit"),
        pytest.param(RUN, evolve(RUN, cgroup_parent="/p"), id="the control group"),
        pytest.param(RUN, mounted(target="/other"), id="a mount's target"),
        pytest.param(RUN, mounted(kind=MountKind.SECRET), id="a mount's type"),
        pytest.param(mounted(kind=MountKind.SECRET), mounted(kind=MountKind.SECRET, id="other"), id="a secret's name"),
        pytest.param(COPY, copied(path="/src/b"), id="a source's name"),
        pytest.param(COPY, copied(path="/other/a"), id="where a source is"),
        pytest.param(COPY, copied(exclude=("*.o",)), id="what is left out"),
        pytest.param(COPY, copied(unpack=True), id="whether archives are unpacked"),
        pytest.param(COPY, evolve(COPY, target="/d"), id="the destination"),
        pytest.param(COPY, evolve(COPY, owner=Owner("0", "0")), id="the owner"),
        pytest.param(COPY, evolve(COPY, mode="755"), id="the mode"),
        pytest.param(COPY, evolve(COPY, parents=True), id="whether parents come along"),
        pytest.param(COPY, evolve(COPY, time_ns=1), id="the time"),
        pytest.param(WRITE, evolve(WRITE, files=(Placed("a", b"two"),)), id="a here-document's content"),
        pytest.param(WRITE, evolve(WRITE, mode="700"), id="a here-document's mode"),
        pytest.param(FOLDER, evolve(FOLDER, path="/w"), id="a folder's path"),
        pytest.param(FOLDER, evolve(FOLDER, mode=0o700), id="a folder's mode"),
        pytest.param(Stack(), FOLDER, id="what is done"),
    ],
)
def test_what_makes_a_difference(one, other):
    assert keys.key(Node(one), ["base", "files"]) != keys.key(Node(other), ["base", "files"])


def test_the_platform_counts_where_something_runs():
    arm = Platform("linux", "arm64")
    assert keys.key(Node(RUN), ["base"]) != keys.key(Node(RUN, platform=arm), ["base"])
    assert keys.key(Node(COPY), ["base", "files"]) == keys.key(Node(COPY, platform=arm), ["base", "files"])


def test_a_node_that_has_another_time_or_inputs_has_another_key():
    assert keys.key(Node(COPY), ["base", "files"]) != keys.key(Node(COPY, epoch_s=1), ["base", "files"])
    assert keys.key(Node(COPY), ["base", "files"]) != keys.key(Node(COPY), ["base", "others"])
    assert keys.key(Node(COPY), ["base", "files"]) != keys.key(Node(COPY), ["files", "base"])


def test_by_content_it_counts_what_is_read_and_not_where():
    content = {1: sha256(b"files")}
    key = keys.content_key(Node(COPY), ["base", "here"], content)
    assert key == keys.content_key(Node(copied(path="/other/a")), ["base", "there"], content)
    assert key != keys.content_key(Node(copied(path="/src/b")), ["base", "here"], content)
    assert key != keys.content_key(Node(COPY), ["other base", "here"], content)
    assert key != keys.content_key(Node(COPY), ["base", "here"], {1: sha256(b"other files")})
    assert key != keys.key(Node(COPY), ["base", str(content[1])])


def test_with_parents_the_whole_path_counts_also_by_content():
    whole = evolve(COPY, parents=True)
    moved = evolve(whole, sources=(evolve(whole.sources[0], path="/other/a"),))
    content = {1: sha256(b"files")}
    assert keys.content_key(Node(whole), ["b", "c"], content) != keys.content_key(Node(moved), ["b", "c"], content)


def test_sources_are_what_they_stand_for():
    assert keys.source_key("a") == keys.source_key("a") != keys.source_key("b")
    assert isinstance(EmptySource(), keys.SOURCES)
    assert isinstance(ImageSource(ImageReference("d", "p"), Platform()), keys.SOURCES)
    with pytest.raises(AssertionError):
        keys.facts_of(Node(EmptySource()))
