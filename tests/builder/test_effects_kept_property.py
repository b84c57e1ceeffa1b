"""Whatever a folder was and becomes, what is kept of it is what it is now."""

import shutil
import stat
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from moby_builder.dockerfile.effects.kept import Index, Reception

from moby.contracts.builder import Entry
from moby.errors import HostUnfit, Invalid

NAMES = st.sampled_from(["a", "b", "a.b", "c"])
CONTENTS = st.sampled_from([b"", b"x", b"yy"])
TREES = st.recursive(
    CONTENTS | st.sampled_from(["a", "../b", "/etc"]),
    lambda inner: st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
).filter(lambda tree: isinstance(tree, dict))
"""A folder is a mapping, a file bytes, a link text."""


def entries(tree, path=""):
    """Yield a tree's entries with their content."""
    for name in sorted(tree, key=str.encode):
        what, inner = tree[name], f"{path}/{name}" if path else name
        if isinstance(what, dict):
            yield Entry(inner, stat.S_IFDIR | 0o755, time_ns=len(what)), None
            yield from entries(what, inner)
        elif isinstance(what, str):
            yield Entry(inner, stat.S_IFLNK | 0o777, link=what), None
        else:
            # The time tells contents apart, as it does in a real folder.
            yield Entry(inner, stat.S_IFREG | 0o644, size_bytes=len(what), time_ns=sum(what)), what


def received(folder, tree, *, until=None):
    """Keep a tree, or as much of it as comes until it is given up; return what is known of it then."""
    reception = Reception(Index.of(folder))
    for number, (entry, content) in enumerate(entries(tree)):
        if number == until:
            reception.give_up()
            return None
        if reception.entry(entry):
            reception.content(entry.path, content)
            reception.content(entry.path, b"")
    return reception.finish()


def on_disk(folder):
    """Return what there is, as a tree."""
    found = {}
    for each in folder.iterdir():
        if each.is_symlink():
            found[each.name] = str(each.readlink())
        else:
            found[each.name] = on_disk(each) if each.is_dir() else each.read_bytes()
    return found


def temporary():
    return Path(tempfile.mkdtemp(prefix="moby-kept-"))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(TREES, st.none() | st.integers(0, 6)), min_size=1, max_size=4), TREES)
def test_what_is_kept_is_what_came_last(before, last):
    folder, fresh = temporary(), temporary()
    try:
        for tree, until in before:
            received(folder, tree, until=until)
        listing = received(folder, last)
        assert on_disk(folder / "files") == last
        assert listing.digest() == received(fresh, last).digest()
        assert Index.of(folder).listing().digest() == listing.digest()
    finally:
        shutil.rmtree(folder)
        shutil.rmtree(fresh)


PATHS = st.lists(st.sampled_from(["..", ".", "", "a", "b", "link"]), min_size=1, max_size=4).map("/".join)
KINDS = st.sampled_from([stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFIFO, stat.S_IFSOCK, 0])
ENTRIES = st.builds(
    Entry, PATHS, KINDS.map(lambda kind: kind | 0o700), size_bytes=st.integers(0, 2),
    link=st.sampled_from(["", "a", "..", "../outside", "../../outside/x", "/"]),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(ENTRIES, CONTENTS), max_size=12))
def test_no_list_of_entries_gets_out(listed):
    base = temporary()
    try:
        (base / "kept").mkdir()
        (base / "outside").mkdir()
        (base / "outside/x").write_text("x")
        reception = Reception(Index.of(base / "kept"))
        try:
            for entry, content in listed:
                if reception.entry(entry):
                    reception.content(entry.path, content)
                    reception.content(entry.path, b"")
            reception.finish()
        except (Invalid, HostUnfit):
            reception.give_up()
        assert [each.name for each in base.iterdir() if each.name not in ("kept", "outside")] == []
        assert (base / "outside/x").read_text() == "x"
        assert (base / "outside/x").stat().st_nlink == 1
        assert len(list((base / "outside").iterdir())) == 1
    finally:
        shutil.rmtree(base)
