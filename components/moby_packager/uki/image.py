"""The image: a stub that firmware starts, with the kernel, its first files and its command line as sections."""

import hashlib
import tempfile
from pathlib import Path

from attrs import frozen

from moby.contracts.packager import FORMAT, Artifact, Brought, Source
from moby.errors import HostUnfit, Unsupported
from moby_packager.commands.running import digest, run, written

__all__ = ["STUB", "Uki"]

TOOL, PACKAGE = "ukify", "systemd-ukify"
STUB = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub"
_MARK_AT, _MARK = 0x202, b"HdrS"
"""Of a kernel for PCs (Documentation/arch/x86/boot.rst)."""


@frozen
class Uki:
    """Builds the image; as a value it can be used from many threads."""

    stub: str = STUB

    def build(self, source: Source, out: Path) -> Artifact:
        """Write `NAME.uki.efi`."""
        assert source.given is not None, "the component says what it takes"
        given = {path.suffix: (source.given.folder / path).absolute() for path in source.given.artifact.files}
        if given[".kernel"].read_bytes()[_MARK_AT : _MARK_AT + len(_MARK)] != _MARK:
            raise Unsupported(
                "the kernel is none that firmware starts", hint="set the option machine of the format vm to pc"
            )
        path = Path(f"{source.name}.uki.efi")
        stub = self._stub()
        with tempfile.TemporaryDirectory(dir=out) as folder:
            Path(folder, "os-release").write_text(f'ID=moby\nNAME="moby {source.name}"\nPRETTY_NAME="{source.name}"\n')
            words = [
                "--linux", given[".kernel"], "--initrd", given[".initrd"], "--cmdline", f"@{given['.cmdline']}",
                "--os-release", "@os-release", "--stub", stub, "--output", path,
            ]  # fmt: skip
            run([TOOL, "build", *map(str, words)], package=PACKAGE, folder=Path(folder), epoch_s=source.epoch_s)
            data = written(Path(folder, path), TOOL, package=PACKAGE)
        (out / path).write_bytes(data)
        sizes = dict(source.given.artifact.sizes_bytes)
        brought = Brought("systemd-boot-efi", hashlib.sha256(stub.read_bytes()).hexdigest()[:16])
        sizes[brought.owner] = stub.stat().st_size
        sizes[FORMAT] = sizes.get(FORMAT, 0) + len(data) - sum(sizes.values())
        return Artifact((path,), dict(sorted(sizes.items())), (brought,))

    def fingerprint(self) -> str:
        """Return which stub there is, and which ukify."""
        return f"{hashlib.sha256(self._stub().read_bytes()).hexdigest()} {digest(TOOL, package=PACKAGE)}"

    def _stub(self) -> Path:
        path = Path(self.stub).absolute()
        if not path.is_file():
            raise HostUnfit(f"there is no stub at {path}", hint="apt install systemd-boot-efi, or set the option stub")
        return path
