"""Images: what is unpacked stays in its folder, whatever names, links and modes its layers have."""

import os
from contextlib import suppress
from pathlib import Path

import pytest
from escape_attacks import Victim

from moby.errors import MobyError
from moby.host import tree
from moby.oci import digest, layer
from moby.oci.layer import EntryType, LayerEntry
from moby.oci.unpack import Limits, Unpacking

Entry = tuple[LayerEntry, bytes]


def file(path: str, mode: int = 0o644) -> Entry:
    return LayerEntry(path, mode=mode, size_bytes=1), b"x"


def folder(path: str, mode: int = 0o755) -> Entry:
    return LayerEntry(path, EntryType.DIRECTORY, mode), b""


def link(path: str, target: str, kind: EntryType = EntryType.SYMLINK) -> Entry:
    return LayerEntry(path, kind, link=target), b""


def unpack(root: Path, *layers: list[Entry]) -> None:
    root.mkdir()
    fd = os.open(root, tree.DIRECTORY_FLAGS)
    try:
        unpacking = Unpacking(fd, True, Limits())
        for each in layers:
            with layer.write((entry, [data]) for entry, data in each) as tar:
                unpacking.apply(tar)
        unpacking.finish()
    finally:
        os.close(fd)


@pytest.mark.parametrize("way", ["absolute", "relative"])
@pytest.mark.parametrize("layers", [1, 2], ids=["in-one-layer", "in-two"])
@pytest.mark.parametrize(
    "attack",
    [
        pytest.param([file("out/secret")], id="file-through-link"),
        pytest.param([file("out/fresh")], id="new-file-through-link"),
        pytest.param([folder("out/below", 0o777)], id="mode-through-link"),
        pytest.param([folder("out", 0o777)], id="mode-of-the-link"),
        pytest.param([link("out/deep/er", "x")], id="link-through-link"),
        pytest.param([link("hard", "out/secret", EntryType.HARDLINK)], id="hard-link"),
        pytest.param([link("hard", "out/secret", EntryType.HARDLINK), file("hard")], id="file-through-hard-link"),
        pytest.param([file("out/.wh.secret"), file("out/.wh..wh..opq")], id="whiteout-through-link"),
        pytest.param([file(".wh.out")], id="whiteout-of-the-link"),
    ],
)
def test_links_in_layers(victim: Victim, tmp_path: Path, attack: list[Entry], layers: int, way: str) -> None:
    """CVE-2014-6407, CVE-2014-9356, CVE-2021-32760, CVE-2021-41089, CVE-2025-47290.

    Files, links, modes and removals of a layer went through its own links to the host.
    """
    before = victim.seen()
    target = str(victim.folder) if way == "absolute" else f"{'../' * 30}{victim.folder}"
    first = [link("out", target)]
    with suppress(MobyError):
        unpack(tmp_path / "root", *([first, attack] if layers == 2 else [first + attack]))
    assert victim.seen() == before


@pytest.mark.parametrize("name", ["../{}", "/{}", "a/../../{}", "./../../{}", "../{}/fresh", "/{}/secret", ".."])
def test_names_in_layers(victim: Victim, tmp_path: Path, name: str) -> None:
    """CVE-2014-9356, CVE-2015-3627: a name with `..`, or an absolute one, is a place outside."""
    before = victim.seen()
    (tmp_path / "deep").mkdir()
    with suppress(MobyError, ValueError):
        unpack(tmp_path / "deep/root", [file(name.format(str(victim.folder).lstrip("/")))])
    assert victim.seen() == before
    assert [each.name for each in (tmp_path / "deep").iterdir()] == ["root"]


@pytest.mark.parametrize("text", ["../../etc", "sha256:../../../etc", "sha256:" + "a" * 63 + "/", "/etc", "sha256:"])
def test_names_of_images(text: str) -> None:
    """CVE-2014-9358: an image's id became the path that it was kept at."""
    with pytest.raises(MobyError):
        digest.parse(text)
