"""Where a container's control group is: named paths, and folders that were given to an ordinary user."""

from pathlib import Path

import pytest
from moby_runtime.native import placement
from moby_runtime.native.placement import path_of, plan
from moby_runtime.native.values import IdMapping, MountPoint, ProcessSpec, Spec

from moby.errors import HostUnfit, Invalid
from moby.host.cgroups import Hierarchy

RUN = "/r"


def spec(path: str = "", **fields) -> Spec:
    given = {"process": ProcessSpec(("a",), "/"), "namespaces": {"mount": ""}, **fields}
    return Spec(Path("/b"), Path("/b/rootfs"), False, **given, cgroups_path=path)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param("/a/b", "/a/b", id="absolute"),
        pytest.param("//a///b/", "/a/b", id="slashes"),
        pytest.param("/../../etc", "/etc", id="no-way-up"),
        pytest.param("/a/../../b/./c", "/b/c", id="inside"),
        pytest.param("a/b", "*/a/b", id="relative"),
        pytest.param("../../a", "*/a", id="relative-no-way-up"),
        pytest.param("", "*/box", id="by-default"),
        pytest.param("a:b:c", "*/a:b:c", id="as-systemd-has-it"),
    ],
)
def test_a_named_path_stays_inside(path: str, expected: str) -> None:
    found = path_of(RUN, "web", "box", spec(path))
    engine, _, rest = found[1:].partition("/")
    assert (f"*/{rest}" if engine.startswith("moby-web-") else found) == expected


@pytest.mark.parametrize("path", ["/", "//", "/..", ".", "..", "a/..", "/a/../.."])
def test_the_group_of_all_is_nobody_s(path: str) -> None:
    with pytest.raises(Invalid, match=r"linux\.cgroupsPath .* the root cgroup"):
        path_of(RUN, "web", "box", spec(path))


def test_engines_with_other_roots_have_other_groups() -> None:
    assert path_of(RUN, "web", "box", spec()) != path_of("/other", "web", "box", spec())


def test_a_group_alone_is_below_none_that_would_be_made_with_it() -> None:
    below = path_of(RUN, "web", "box", spec())
    assert path_of(RUN, "web", "box", spec(), alone=True) == below.replace("/box", "-box")
    assert path_of(RUN, "web", "box", spec("own"), alone=True) == path_of(RUN, "web", "box", spec("own"))
    longest = "b" * 255  # of an id, and of a folder's name
    assert path_of(RUN, "web", longest, spec(), alone=True) == path_of(RUN, "web", longest, spec())


@pytest.fixture
def tree(tmp_path: Path) -> Hierarchy:
    for folder in (tmp_path / "user/session", tmp_path / "user"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cgroup.procs").touch()
    return Hierarchy(str(tmp_path), 2, frozenset({"pids"}), "/user/session")


@pytest.mark.parametrize(
    ("writable", "expected"),
    [(("user", "user/session"), "/user/a"), (("user/session",), "/user/session/a"), ((), None)],
    ids=["beside", "below", "nowhere"],
)
def test_what_was_given_to_a_user(tree: Hierarchy, writable, expected, monkeypatch) -> None:
    def access(path, mode) -> bool:
        return any(str(path) in (f"{tree.mount}/{each}", f"{tree.mount}/{each}/cgroup.procs") for each in writable)

    monkeypatch.setattr(placement, "is_root_of_host", lambda: False)
    monkeypatch.setattr(placement, "hierarchies", lambda: (Hierarchy("/one", 1, frozenset({"pids"})), tree))
    monkeypatch.setattr(placement.os, "access", access)
    if expected is None:
        assert plan("/a", spec()).folders == ()
        with pytest.raises(HostUnfit, match=r"linux\.cgroupsPath"):
            plan("/a", spec("/a"))
        with pytest.raises(HostUnfit, match=r"linux\.resources\.pids\.limit"):
            plan("/a", spec(resources={"pids": {"limit": 5}}))
        return
    planned = plan("/a", spec("/a", resources={"pids": {"limit": 5}}))
    assert planned.folders == (f"{tree.mount}{expected}",)
    assert planned.limited


CGROUP = MountPoint("/sys/fs/cgroup", "cgroup", "cgroup")


@pytest.mark.parametrize(
    ("mounts", "mappings", "uid", "owner"),
    [
        pytest.param((), (), 5, 0, id="not-mounted"),
        pytest.param((CGROUP,), (), 5, 5, id="mounted"),
        pytest.param((MountPoint("/sys/fs/cgroup", "cgroup", "cgroup", ("ro",)),), (), 5, 0, id="read-only"),
        pytest.param((MountPoint("/mnt", "cgroup", "cgroup"),), (), 5, 0, id="elsewhere"),
        pytest.param((CGROUP,), (IdMapping(0, 1000, 10),), 5, 1005, id="mapped"),
        pytest.param((CGROUP,), (IdMapping(0, 1000, 10),), 10, 0, id="not-mapped"),
    ],
)
def test_who_is_to_own_the_group(mounts, mappings, uid: int, owner: int) -> None:
    kinds = {"mount": "", "cgroup": "", **({"user": ""} if mappings else {})}
    process = ProcessSpec(("a",), "/", uid=uid)
    wanted = spec(mounts=mounts, uid_mappings=mappings, process=process, namespaces=kinds)
    assert placement._owner(wanted) == owner
