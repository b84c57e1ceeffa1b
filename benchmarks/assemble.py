"""How long assembling takes: from nothing, when nothing changed, in every format, and building again to compare."""

import sys
import tempfile
from pathlib import Path

from benchmarks.measure import PASS, Row, Timed, in_turn

__all__ = ["rows"]

MOBY = str(Path(sys.executable).with_name("moby"))
FORMATS = (
    "pyz", "deb", "rpm", "binary", "tar", "oci", "tree", "sysext", "vm", "uki", "raw", "qcow2", "vmdk", "vhdx", "vhd",
    "iso",
)  # fmt: skip
"""All but `portable`, which the quickstart is none of: it serves nothing."""
TOOLS = ("mksquashfs", "mkfs.vfat", "mmd", "mcopy", "sfdisk", "ukify", "qemu-img", "xorriso", "zstd", "gcc")
MANIFEST = """
moby: 1
name: quickstart
extends: [quickstart]
distribution:
  config: {{vm: {{kernel: {root}}}, uki: {{stub: {root}/usr/lib/systemd/boot/efi/linuxx64.efi.stub}}}}
"""
PYZ_KB = 3000
"""What the smallest engine's file may come to."""
BASE_MS = 12.3
"""What the interpreter's own start took where the targets in milliseconds were set."""


def rows() -> list[Row]:
    """Time assembling the quickstart cold and unchanged, and `moby reproduce` of what came out."""
    with tempfile.TemporaryDirectory() as folder:
        out, cache = f"{folder}/dist", f"{folder}/cache"
        quickstart = [MOBY, "assemble", "quickstart", "-o", out, "--json"]
        cold = Timed(("sh", "-c", f'rm -rf {out} {cache}; exec "$@"', "sh", *quickstart), '"changed": true',
                     environment={"XDG_CACHE_HOME": cache})  # fmt: skip
        again = Timed(tuple(quickstart), '"changed": false')
        reproduce = Timed((MOBY, "reproduce", f"{out}/quickstart/quickstart.pyz"), "the same, byte for byte")
        times = in_turn(cold, again, reproduce, Timed(PASS))
        size_kb = Path(out, "quickstart", "quickstart.pyz").stat().st_size / 1000
    cold_ms, again_ms, reproduce_ms, peer_ms = (each * 1000 for each in times)
    peer = "python -c pass"
    return [
        Row("moby assemble quickstart, cold", cold_ms, peer, peer_ms, 5000 / BASE_MS, "no output, no cache"),
        Row("moby assemble quickstart, nothing changed", again_ms, peer, peer_ms, 1000 / BASE_MS),
        Row("moby reproduce quickstart.pyz", reproduce_ms, peer, peer_ms),
        Row("quickstart.pyz, kB", size_kb, "3 MB", PYZ_KB, 1, "a size, not a time"),
        *_every_format(),
    ]


def _every_format() -> list[Row]:
    """Time the quickstart in all formats, cold and unchanged; needs what `tools/peers disks images kernel` unpacks."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    from peers.binaries import ROOT, wrapped  # type: ignore[import-not-found]

    with tempfile.TemporaryDirectory() as folder:
        flags = [word for name in FORMATS for word in ("--format", name)]
        manifest = Path(folder, "quickstart.yaml")
        manifest.write_text(MANIFEST.format(root=ROOT))
        words = [MOBY, "assemble", str(manifest), "-o", f"{folder}/dist", *flags, "--json"]
        clean = f'rm -rf {folder}/dist {folder}/cache; exec "$@"'
        environment = {"XDG_CACHE_HOME": f"{folder}/cache", "PATH": wrapped(Path(folder, "tools"), *TOOLS)}
        cold = Timed(("sh", "-c", clean, "sh", *words), '"changed": true', environment=environment)
        again = Timed(tuple(words), '"changed": false', environment=environment)
        cold_ms, again_ms, peer_ms = (each * 1000 for each in in_turn(cold, again, Timed(PASS), runs=3))
    peer = "python -c pass"
    what = f"moby assemble quickstart, {len(FORMATS)} formats"
    return [
        Row(f"{what}, cold", cold_ms, peer, peer_ms, 60_000 / BASE_MS, "no output, no cache"),
        Row(f"{what}, nothing changed", again_ms, peer, peer_ms, 1000 / BASE_MS),
    ]
