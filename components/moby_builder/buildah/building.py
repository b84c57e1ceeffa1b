"""A build with buildah: what the contract says of one."""

import errno
import os
import selectors
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

from moby.contracts.builder import (
    BuildFailed,
    CacheExport,
    Event,
    Export,
    Exported,
    ExportType,
    Request,
    Result,
    Selection,
    Session,
    Target,
)  # fmt: skip
from moby.contracts.images import Image, Images
from moby.contracts.types import ImageReference, Platform
from moby.errors import NotFound, Unavailable, Unsupported
from moby.host.mounts import open_file_in_root
from moby.oci.reference import parse
from moby_builder.buildah.placing import Placing
from moby_builder.buildah.reading import images_of, line_of, secrets_of
from moby_builder.buildah.steps import Steps
from moby_builder.buildah.stock import Stock
from moby_builder.buildah.tool import Tool, failure
from moby_builder.folders.parts import Part, Parts, archived
from moby_builder.folders.unpacking import take

__all__ = ["Building"]

_CHUNK = 1 << 20
_STREAM = "stream:"
"""Before the name of what a session sends, as a context."""
_CANCELED = "the build was canceled"


class Building:
    """One build."""

    def __init__(
        self,
        tool: Tool,
        stock: Stock,
        images: Images,
        folder: Path,
        session: Session,
        tell: Callable[[Event], None],
        now_ns: Callable[[], int],
        closed: Callable[[], None],
    ) -> None:
        self._tool = tool
        self._stock = stock
        self._images = images
        self._folder = folder
        self._session = session
        self._told = threading.Lock()
        self._tell_one = tell
        self._now_ns = now_ns
        self._closed = closed
        self._lock = threading.Condition()
        self._canceled = False
        self._going_on = 0
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._is_closed = False

    def solve(self, request: Request) -> Result:
        """Build an image in buildah's store."""
        _refuse(request)
        with self._work(), TemporaryDirectory(dir=self._folder) as temporary, ExitStack() as stack:
            context = self._context(request.context, Path(temporary))
            text = self._dockerfile(request, Path(temporary), context)
            file = Path(temporary) / "Dockerfile"
            file.write_text(text, encoding="utf-8")
            for name in images_of(text, request.arguments):
                self._check()
                self._stock.bring(name, self._session, pull=request.pull)
            lent, descriptors = self._secrets(text, stack)
            id_file = Path(temporary) / "id"
            arguments = [*_arguments(request), *lent, "--file", str(file), "--iidfile", str(id_file), str(context)]
            self._run(self._tool.build(arguments), descriptors, text, request)
            image_id = id_file.read_text(encoding="ascii").strip().removeprefix("sha256:")
        return Result((Target(Platform.host(), image_id, self._config(image_id)),))

    def export(
        self, result: Result, exports: Sequence[Export], caches: Sequence[CacheExport] = ()
    ) -> tuple[Exported, ...]:
        """Give an image away."""
        if caches:
            raise Unsupported("buildah's cache can't be exported", hint="use the builder `dockerfile` for that")
        with self._work():
            return tuple(self._export(target, each) for each in exports for target in result.targets)

    @contextmanager
    def files(self, target: Target) -> Iterator[Path]:
        """Lend the files of an image of buildah's."""
        with self._work():
            if not self._stock.has(target.reference):
                raise NotFound(f"buildah has no image {target.reference!r}", hint="build it again")
            with self._root(target.reference) as root:
                yield root

    def image(self, reference: ImageReference, platform: Platform, *, pull: bool = False) -> Image:
        """Return the engine's image of a name, or the image registry's."""
        host = Platform.host()
        if (platform.os, platform.architecture) != (host.os, host.architecture):
            raise _never("platforms")
        with self._work():
            return self._stock.described(reference, self._session, pull=pull)

    def cancel(self) -> None:
        """Kill what runs."""
        with self._lock:
            self._canceled = True
            for each in self._processes:
                os.killpg(each.pid, signal.SIGTERM)

    def close(self) -> None:
        """Cancel, wait, and clean up."""
        self.cancel()
        with self._lock:
            self._lock.wait_for(lambda: not self._going_on)
            if self._is_closed:
                return
            self._is_closed = True
        self._closed()

    # What goes on

    @contextmanager
    def _work(self) -> Iterator[None]:
        with self._lock:
            self._check()
            self._going_on += 1
        try:
            yield
        except BuildFailed:
            self._check()  # it was killed then
            raise
        finally:
            with self._lock:
                self._going_on -= 1
                self._lock.notify_all()

    def _check(self) -> None:
        if self._canceled:
            raise Unavailable(_CANCELED)

    def _tell(self, event: Event) -> None:
        with self._told:
            self._tell_one(event)

    @contextmanager
    def _started(self, process: subprocess.Popen[bytes]) -> Iterator[None]:
        with process:
            with self._lock:
                self._processes.add(process)
                canceled = self._canceled
            try:
                if canceled:
                    os.killpg(process.pid, signal.SIGTERM)
                yield
            finally:
                process.wait()
                with self._lock:
                    self._processes.discard(process)

    def _run(self, command: Sequence[str], descriptors: Sequence[int], text: str, request: Request) -> None:
        process = self._tool.start(command, descriptors)
        steps = Steps(self._tell, self._now_ns)
        with self._started(process):
            said = _followed(process, steps.line)
        if not process.returncode:
            steps.end()
            return
        self._check()
        found = failure(said, process.returncode)
        steps.end(found.message)
        if isinstance(found, BuildFailed):
            code = _exit_code(found.message)
            file = request.dockerfile.rpartition("/")[2]
            ranges = line_of(text, steps.text)
            raise BuildFailed(
                found.message, code=code, vertex=steps.vertex, file=file, source=text, ranges=ranges
            ) from None
        raise found

    # What it is given

    def _context(self, name: str, temporary: Path) -> Path:
        """Bring the build's context: a folder that is lent, or an archive that is sent."""
        context = temporary / "context"
        context.mkdir()
        if name:
            with self._session.stream(name.removeprefix(_STREAM)) as sent:
                take(sent, context, self._check)
        else:
            self._receive("context", Selection(), context)
        return context

    def _receive(self, name: str, selection: Selection, folder: Path) -> None:
        placing = Placing(folder)
        try:
            self._session.folder(name, selection, placing)
        finally:
            placing.close()

    def _dockerfile(self, request: Request, temporary: Path, context: Path) -> str:
        """Return the Dockerfile; no link in its folder leads out of that."""
        folder = temporary / "dockerfile"
        folder.mkdir()
        try:
            self._receive("dockerfile", Selection(include=(request.dockerfile,)), folder)
        except NotFound:
            folder = context
        return _text(folder, request.dockerfile)

    def _secrets(self, text: str, stack: ExitStack) -> tuple[list[str], list[int]]:
        """Return options for the secrets that are lent, and the descriptors that hold them, in memory alone."""
        arguments: list[str] = []
        descriptors: list[int] = []
        for each in secrets_of(text):
            try:
                value = self._session.secret(each)
            except NotFound:
                continue  # buildah says so, where it is required
            fd = os.memfd_create(f"secret-{len(descriptors)}", 0)
            stack.callback(os.close, fd)
            os.write(fd, value)
            descriptors.append(fd)
            arguments += ["--secret", f"id={each},src=/proc/{os.getpid()}/fd/{fd}"]
        return arguments, descriptors

    def _config(self, image_id: str) -> Mapping[str, object]:
        found = self._tool.json("inspect", "--type", "image", image_id)["Docker"]
        return {key: value for key, value in found.items() if key not in ("rootfs", "id", "parent")}

    # What it gives

    def _export(self, target: Target, export: Export) -> Exported:
        self._check()
        names = tuple(parse(each) for each in export.names)
        match export.type:
            case ExportType.IMAGE:
                return self._to_engine(target.reference, names, export)
            case ExportType.OCI | ExportType.DOCKER:
                kind = "oci-archive" if export.type is ExportType.OCI else "docker-archive"
                with self._stock.packed(target.reference, kind, names) as path, path.open("rb") as file:
                    self._stream(file, export)
                return Exported(names=export.names)
            case ExportType.TAR | ExportType.LOCAL:
                with self._root(target.reference) as root:
                    self._deliver(Parts((Part(root),)), export)
                return Exported()

    def _deliver(self, parts: Parts, export: Export) -> None:
        if export.type is ExportType.LOCAL:
            self._session.deliver_folder(export.number, parts)
            return
        with archived(parts) as tar:
            self._stream(tar, export)

    def _stream(self, source: BinaryIO, export: Export) -> None:
        with self._session.deliver_stream(export.number) as out:
            while chunk := source.read(_CHUNK):
                out.write(chunk)

    def _to_engine(self, image_id: str, names: Sequence[ImageReference], export: Export) -> Exported:
        image = self._stock.take(image_id, names)
        if export.push:
            for each in names:
                for _ in self._images.push(each, self._session.credentials(each.domain)):
                    pass
        return Exported(image.id, image.digest, names=tuple(str(each) for each in names))

    @contextmanager
    def _root(self, image_id: str) -> Iterator[Path]:
        """Lend the files of an image."""
        container = self._tool.call("from", "--pull=never", image_id).strip()
        try:
            yield Path(self._tool.call("mount", container).strip())
        finally:
            self._tool.call("umount", container)
            self._tool.call("rm", container)


def _refuse(request: Request) -> None:
    """Say what isn't done, by name."""
    asked = {
        "request": request.request, "context": request.context and not request.context.startswith(_STREAM),
        "platforms": request.platforms, "contexts": request.contexts, "no_cache_stages": request.no_cache_stages,
        "cache_from": request.cache_from,
        "attestations": any(map(_is_wanted, request.attestations.values())), "allow": request.allow,
    }  # fmt: skip
    for name, value in asked.items():
        if value:
            raise _never(name)


def _is_wanted(attributes: Mapping[str, str]) -> bool:
    """Whether something is to be attested anyhow; what clients ask for by themselves is only for where that can be."""
    return attributes.get("inline-only", "").lower() not in ("true", "1")


def _never(name: str) -> Unsupported:
    return Unsupported(
        f"the builder `buildah` can't do this: {name}", hint="use the builder `dockerfile`, or leave it out"
    )


def _arguments(request: Request) -> list[str]:
    found: list[str] = []
    found += [part for key, value in request.arguments.items() for part in ("--build-arg", f"{key}={value}")]
    found += [part for key, value in request.labels.items() for part in ("--label", f"{key}={value}")]
    found += [part for name, address in request.hosts for part in ("--add-host", f"{name}:{address}")]
    found += [part for name, soft, hard in request.ulimits for part in ("--ulimit", f"{name}={soft}:{hard}")]
    limits = request.limits
    for option, value in {
        "--target": request.target, "--network": request.network, "--cgroup-parent": request.cgroup_parent,
        "--shm-size": request.shm_bytes, "--memory": limits.memory_bytes, "--cpu-quota": round(limits.cpus * 100_000),
        "--memory-swap": limits.memory_swap_bytes, "--cpu-shares": limits.cpu_shares,
        "--cpuset-cpus": limits.cpuset_cpus, "--cpuset-mems": limits.cpuset_mems,
    }.items():  # fmt: skip
        found += [option, str(value)] if value else []
    return [*found, "--no-cache"] if request.no_cache else found


def _text(folder: Path, path: str) -> str:
    root = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fd = open_file_in_root(root, path)  # an archive may have devices, which are the host's own
        if fd < 0:
            raise OSError(errno.EINVAL, "No regular file")
        with open(fd, encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            return file.read()
    except OSError as error:
        said = (error.strerror or "").lower()
        raise BuildFailed(f"failed to read dockerfile: open {path}: {said}") from error
    finally:
        os.close(root)


def _followed(process: subprocess.Popen[bytes], line: Callable[[int, bytes], None]) -> str:
    """Pass on what a process says, in lines; return what it says of errors."""
    assert process.stdout is not None
    assert process.stderr is not None
    rest = {1: b"", 2: b""}
    said = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ, 1)
        selector.register(process.stderr, selectors.EVENT_READ, 2)
        while selector.get_map():
            for key, _ in selector.select():
                data = os.read(key.fd, _CHUNK)
                if key.data == 2:
                    said = (said + data)[-_CHUNK:]
                *whole, rest[key.data] = (rest[key.data] + data).splitlines(keepends=True) or [b""]
                if rest[key.data].endswith(b"\n") or (not data and rest[key.data]):
                    whole.append(rest[key.data])
                    rest[key.data] = b""
                for each in whole:
                    line(key.data, each)
                if not data:
                    selector.unregister(key.fileobj)
    return said.decode(errors="replace")


def _exit_code(message: str) -> int | None:
    found = message.rpartition("exit status ")[2]
    return int(found) if found.isdigit() else None
