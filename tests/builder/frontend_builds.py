"""Cases of Dockerfiles, built on real parts, and the files that are in a root."""

import hashlib
import io
import tarfile
from contextlib import contextmanager

from building_engines import Engine, box_root
from frontend_parts import RICH, TRIGGER
from peers.box import archive

from moby.contracts.builder import Export, ExportType
from moby.testing.lending import Lending
from moby.testing.mounted import own_mounts
from moby.testing.net_namespaces import own_network

_LOADED = (("localhost/box", {}), ("localhost/rich:1", RICH), ("localhost/trigger:1", TRIGGER))
_OF_THE_ENGINE = {"", ".dockerenv", "dev", "etc", "etc/hostname", "etc/hosts", "etc/mtab", "etc/resolv.conf"}
"""Files of a root that a container brings, or that change with those."""


@contextmanager
def engine_of(folder):
    """Lend an engine with a builder and the images of the cases; what it mounts and joins is its own."""
    with own_mounts(shared=True), own_network(), Engine(folder, box_root(folder)) as made:
        for number, (name, config) in enumerate(_LOADED):
            path = archive(folder / f"{number}.tar", folder / f"root{number}", name=name, **config)
            with path.open("rb") as stream:
                list(made.images.load(stream))
        yield made


def build(engine, case, folder):
    """Build a case in an engine; return its image, and its root as a tar."""
    (folder / "more").mkdir()
    (folder / "more/x").write_text("more")
    (folder / "nothing").mkdir()
    context = case.folder / "context"
    context = context if context.is_dir() else folder / "nothing"
    session = Lending({"dockerfile": case.folder, "context": context, "more": folder / "more"})
    made = engine.builder.open(session, lambda event: None)
    try:
        exports = [Export(ExportType.IMAGE, names=(f"case/{case.name}",)), Export(ExportType.TAR)]
        made.export(made.solve(case.request), exports)
    finally:
        made.close()
    return engine.images.get(f"case/{case.name}"), session.received[0].getvalue()


def files(data):
    """Return what is in a root, by path: kind, mode, owner, link and content; times are left out."""
    found = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for each in archive:
            path = each.name.removeprefix("./").strip("/")
            if path in _OF_THE_ENGINE or path.split("/")[0] in {"dev", "proc", "sys"}:
                continue
            file = archive.extractfile(each) if each.isreg() else None
            digest = hashlib.sha256(file.read()).hexdigest() if file else ""
            link = each.linkname.removeprefix("./").lstrip("/")
            found[path] = (each.type, oct(each.mode & 0o7777), each.uid, each.gid, link, digest)
    return found
