"""Layers with all that tar and a file system can carry, by Python's tarfile, and a look at what became of them."""

import io
import tarfile

ROOT = "corpus"
ACL = bytes.fromhex("0200000001000700ffffffff04000500ffffffff20000500ffffffff").decode("utf-8", "surrogateescape")
CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000").decode("utf-8", "surrogateescape")
_TYPES = {
    "file": tarfile.REGTYPE, "folder": tarfile.DIRTYPE, "link": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE,
    "fifo": tarfile.FIFOTYPE, "char": tarfile.CHRTYPE, "block": tarfile.BLKTYPE,
}  # fmt: skip


class Writer:
    """Writes the entries of one layer, below a folder of its own unless the name says otherwise."""

    def __init__(self, form=tarfile.PAX_FORMAT):
        self._out = io.BytesIO()
        self._tar = tarfile.open(fileobj=self._out, mode="w", format=form, errors="surrogateescape")  # noqa: SIM115

    def add(self, kind, name, data=b"", *, mode=0o644, uid=0, gid=0, time=1_600_000_000, link="", device=(0, 0), **pax):
        """Add one entry; `pax` are extended attributes, their dots as two underscores."""
        entry = tarfile.TarInfo(f"{ROOT}/{name}")
        entry.type, entry.mode, entry.uid, entry.gid, entry.mtime = _TYPES[kind], mode, uid, gid, time
        entry.linkname = f"{ROOT}/{link}" if kind == "hard" else link
        entry.devmajor, entry.devminor = device
        entry.size = len(data)
        entry.pax_headers = {"SCHILY.xattr." + key.replace("__", "."): value for key, value in pax.items()}
        self._tar.addfile(entry, io.BytesIO(data))

    def done(self):
        """Return the layer."""
        self._tar.close()
        return self._out.getvalue()


def kinds():
    """Every type, mode, owner, time and attribute."""
    out = Writer()
    out.add("folder", ".", mode=0o755)
    out.add("folder", "kinds", mode=0o750, uid=7, gid=8)
    out.add("file", "kinds/empty")
    out.add("file", "kinds/file", b"data", mode=0o640, uid=1, gid=2, time=1_234_567_890.123456)
    out.add("hard", "kinds/hard", link="kinds/file", mode=0o600, uid=3, gid=4, time=1_000_000_000)
    out.add("link", "kinds/link", link="file", uid=5, gid=6, time=1_100_000_000)
    out.add("link", "kinds/dangling", link="/nowhere/../at/all")
    out.add("hard", "kinds/hard-to-link", link="kinds/link", uid=9, gid=10)
    out.add("fifo", "kinds/fifo", mode=0o622, uid=11)
    out.add("char", "kinds/char", mode=0o666, device=(1, 3))
    out.add("block", "kinds/block", mode=0o660, gid=6, device=(259, 300))
    for mode in (0, 0o1777, 0o2755, 0o4755, 0o7777, 0o111):
        out.add("file", f"kinds/mode-{mode:o}", b"x", mode=mode, uid=12, gid=13)
        out.add("folder", f"kinds/folder-{mode:o}", mode=mode, uid=14, gid=15)
        out.add("file", f"kinds/folder-{mode:o}/inside", b"y")
    out.add("file", "kinds/large-ids", uid=3_000_000, gid=4_000_000)
    for number, time in enumerate((0, 1, 0.5, 2**31, 2**32 + 5, 1_700_000_000.999999)):
        out.add("file", f"kinds/time-{number}", time=time)
    out.add("file", "kinds/capable", b"program", mode=0o755, security__capability=CAPABILITY)
    out.add("hard", "kinds/capable-too", link="kinds/capable", mode=0o755, security__capability=CAPABILITY)
    out.add("file", "kinds/attributes", user__some="thing", user__other="1")
    out.add("folder", "kinds/attributes-too", mode=0o755, user__some="thing")
    out.add("file", "kinds/acl", mode=0o755, system__posix_acl_access=ACL)
    out.add("folder", "kinds/default-acl", mode=0o755, system__posix_acl_default=ACL)
    out.add("file", "kinds/default-acl/inside", mode=0o777, uid=1)
    out.add("file", "kinds/holes", bytes(1 << 20) + b"end" + bytes(1 << 18))
    return out.done()


def names(form):
    """Odd names, and orders of entries."""
    out = Writer(form)
    for number, name in enumerate((
        "new\nline", "back\\slash", " spaces ", "-dash", "öé☃", "tab\t", "quote'\"", "*?[", "n" * 255, "\udcff\udc80",
        "d" * 90 + "/" + "e" * 90 + "/" + "f" * 200, "..dots", "...", "a/./b", "c//d",
    )):  # fmt: skip
        out.add("file", f"names/{number}/{name}", str(number).encode())
    out.add("file", "order/below/file", b"before its folder", uid=1)
    out.add("folder", "order/below", mode=0o700, uid=2, time=1_500_000_000)
    out.add("folder", "order", mode=0o711, uid=3, time=1_400_000_000)
    out.add("folder", "linked/folder", mode=0o700)
    out.add("link", "linked/link", link="folder")
    out.add("file", "linked/link/through", b"y")
    out.add("link", "linked/whole", link="/corpus/linked/folder")
    out.add("file", "linked/whole/too", b"z")
    return out.done()


def below():
    """What a next layer hides and changes."""
    out = Writer()
    out.add("folder", "below", mode=0o755)
    for name in ("kept", "gone", "again", "opaque", "opaque-again", "implicit"):
        out.add("folder", f"below/{name}", mode=0o750, uid=21, gid=22, time=1_300_000_000, user__folder=name)
        for each in ("a", "b"):
            out.add("file", f"below/{name}/{each}", f"{name} {each}".encode(), mode=0o640, uid=23, user__file=each)
    out.add("file", "below/file", b"a file")
    out.add("file", "below/linked", b"linked to", uid=24, mode=0o604, user__linked="yes")
    out.add("folder", "below/folder", mode=0o700)
    out.add("file", "below/folder/inside", b"gone")
    out.add("link", "below/link", link="kept")
    out.add("link", "below/link-out", link="/corpus/below/kept")
    return out.done()


def above():
    """Whiteouts, and what is written over what is below.

    Not here is what dockerd does otherwise: a folder that no entry describes loses what it has below, what comes back
    as a folder after its whiteout shows what is below again, and a hard link to a file below fails.
    """
    out = Writer()
    out.add("folder", "below", mode=0o755, time=1_350_000_000)
    for name in ("kept", "implicit"):
        out.add("folder", f"below/{name}", mode=0o751, uid=31, time=1_360_000_000)
    out.add("file", "below/.wh.gone")
    out.add("file", "below/.wh.never")
    out.add("file", "below/kept/.wh.a")
    out.add("file", "below/.wh.again")
    out.add("folder", "below/opaque", mode=0o755)
    out.add("file", "below/opaque/.wh..wh..opq")
    out.add("file", "below/opaque/c", b"new")
    out.add("folder", "below/opaque-again", mode=0o755)
    out.add("file", "below/opaque-again/a", b"new")
    out.add("file", "below/opaque-again/.wh..wh..opq")
    out.add("file", "below/implicit/c", b"new")
    out.add("folder", "below/file", mode=0o755)
    out.add("file", "below/folder", b"a file now")
    out.add("link", "below/link", link="again")
    out.add("file", "below/.wh.link-out")
    return out.done()


# Runs inside a sandbox: what is at a path, attribute by attribute, as lines of JSON. What no layer gave a time has one
# since the test began.
LOOK = """
import hashlib, json, os, stat, sys
root, since_ns = os.fsencode(sys.argv[1]), int(sys.argv[2])
seen = {}
def look(path, name):
    found = os.lstat(path)
    link = os.readlink(path).hex() if stat.S_ISLNK(found.st_mode) else ""
    data = ""
    if stat.S_ISREG(found.st_mode):
        with open(path, "rb") as file:
            data = hashlib.sha256(file.read()).hexdigest()
    first = seen.setdefault((found.st_dev, found.st_ino), name) if not stat.S_ISDIR(found.st_mode) else name
    attributes = {each: os.getxattr(path, each, follow_symlinks=False).hex()
                  for each in sorted(os.listxattr(path, follow_symlinks=False)) if ".overlay." not in each}
    size = 0 if stat.S_ISDIR(found.st_mode) else found.st_size
    print(json.dumps([repr(name), stat.filemode(found.st_mode), found.st_uid, found.st_gid, size,
                      "now" if found.st_mtime_ns >= since_ns else found.st_mtime_ns,
                      found.st_rdev, link, data, repr(first), attributes]))
    if stat.S_ISDIR(found.st_mode):
        for each in sorted(os.listdir(path)):
            look(os.path.join(path, each), os.path.join(name, each))
look(root, b"")
"""
