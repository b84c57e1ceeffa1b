"""Images through the engine `docker` beside dockerd: pulled, pushed, loaded and saved, on file systems in memory."""

import hashlib
import io
import json
import random
import statistics
import subprocess
import tarfile
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.engine import Pair, Worker, workers
from benchmarks.measure import Row
from benchmarks.used import used_s

RUNS = 3
LAYERS, FILES, MOST_BYTES = 4, 5000, 30_000
PORT = 5000
CHANGES = 5000
BLOBS = 10_000
_MEMORY = Path("/dev/shm")  # noqa: S108  # where nothing has to reach a disk
_COPY = "docker cp full:/ - | cat > /dev/null"
FOLDER = "/var/lib/peers"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def rows() -> Iterator[Row]:
    """Measure; needs root, and what `tools/peers docker registry skopeo zstd` unpacks."""
    plain = [_layer(number) for number in range(LAYERS)]
    fresh = _layer(LAYERS)
    with workers() as pair:
        images = {
            "gzip": _Image(plain, [_gzip(each) for each in plain], "+gzip"),
            "zstd": _Image(plain, [_zstd(each) for each in plain], "+zstd"),
            "plain": _Image(plain, plain, ""),
            "fresh": _Image([fresh], [fresh], ""),
        }
        for worker in (pair.ours, pair.dockerd):
            _registry(worker, images)
        size = sum(map(len, plain)) // 10**6
        what = f"{size} MB, {LAYERS * FILES} files"
        yield _timed(pair, f"docker pull, {what}, gzip", 0.3, lambda worker: _pull(worker, "gzip"))
        yield _timed(pair, f"docker pull, {what}, zstd", 0.3, lambda worker: _pull(worker, "zstd"))
        yield _timed(pair, "docker pull of what is there", 1.0, _again, runs=11)
        yield _timed(pair, f"docker save, {what}", 0.5, _save)
        yield _timed(pair, f"docker load, {what}, uncompressed", 0.3, _load)
        for worker in (pair.ours, pair.dockerd):
            _containers(worker)
        yield _timed(pair, f"docker cp of all, {what}", 0.6, lambda worker: worker.seconds("sh", "-c", _COPY), runs=11)
        changes = f"{CHANGES} new files"
        diff = ("docker", "diff", "changed")
        yield _timed(pair, f"docker diff, {changes}", 1.0, lambda worker: worker.seconds(*diff), runs=11)
        yield _timed(pair, f"docker commit, {changes}", 1.0, _commit)
        yield _timed(pair, f"docker push, {len(fresh) // 10**6} MB that came uncompressed", 1.0, _push, runs=1)
    yield _prune()


class _Image:
    def __init__(self, plain: Sequence[bytes], packed: Sequence[bytes], kind: str) -> None:
        config = {
            "architecture": "amd64", "os": "linux", "config": {"Cmd": [kind]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{_hex(each)}" for each in plain]},
        }  # fmt: skip
        self.config = json.dumps(config).encode()
        self.packed = packed
        layer = f"application/vnd.oci.image.layer.v1.tar{kind}"
        self.manifest = json.dumps({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": _described(self.config, "application/vnd.oci.image.config.v1+json"),
            "layers": [_described(each, layer) for each in packed],
        }).encode()  # fmt: skip

    def write(self, path: Path, name: str) -> None:
        """Write an OCI layout with Docker's manifest.json, as an archive."""
        index = {"schemaVersion": 2, "manifests": [_described(self.manifest, MANIFEST)]}
        blobs = {f"blobs/sha256/{_hex(each)}": each for each in (self.config, self.manifest, *self.packed)}
        item = {
            "Config": f"blobs/sha256/{_hex(self.config)}", "RepoTags": [name],
            "Layers": [f"blobs/sha256/{_hex(each)}" for each in self.packed],
        }  # fmt: skip
        files = {
            "oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": json.dumps(index).encode(),
            "manifest.json": json.dumps([item]).encode(), **blobs,
        }  # fmt: skip
        with tarfile.open(path, "w") as out:
            for each, data in files.items():
                member = tarfile.TarInfo(each)
                member.size, member.mode = len(data), 0o644
                out.addfile(member, io.BytesIO(data))


def _layer(number: int) -> bytes:
    """Make a layer of files that compress to a third, as programs and their texts do."""
    chance = random.Random(number)  # noqa: S311  # the same for each run
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for index in range(FILES):
            if index % 50 == 0:
                folder = tarfile.TarInfo(f"layer{number}/folder{index // 50}")
                folder.type, folder.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(folder)
            size = chance.randrange(MOST_BYTES)
            data = (chance.randbytes(size // 3) + b"the same again " * size)[:size]
            entry = tarfile.TarInfo(f"layer{number}/folder{index // 50}/file{index}")
            entry.size, entry.mode, entry.mtime = size, 0o644, 1_700_000_000
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def _gzip(data: bytes) -> bytes:
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    return packer.compress(data) + packer.flush()


def _zstd(data: bytes) -> bytes:
    return subprocess.run(["zstd", "-qc"], input=data, stdout=subprocess.PIPE, check=True).stdout


def _hex(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _described(data: bytes, kind: str) -> dict[str, Any]:
    return {"mediaType": kind, "digest": f"sha256:{_hex(data)}", "size": len(data)}


def _registry(worker: Worker, images: dict[str, _Image]) -> None:
    """Start an image registry inside, and fill it."""
    sandbox = worker.engine.sandbox
    config = {
        "version": 0.1, "log": {"level": "error"}, "http": {"addr": f"127.0.0.1:{PORT}", "secret": "s"},
        "storage": {"filesystem": {"rootdirectory": f"{FOLDER}/registry"}},
    }  # fmt: skip
    sandbox.seen(f"{FOLDER}/registry.json").write_text(json.dumps(config))
    sandbox.start("docker-registry", "serve", f"{FOLDER}/registry.json", log="/dev/null")
    script = f"until bash -c 'exec 3<>/dev/tcp/127.0.0.1/{PORT}' 2>&-; do sleep 0.05; done"
    sandbox.run("sh", "-c", script)
    for kind, image in images.items():
        image.write(sandbox.seen(f"{FOLDER}/{kind}.tar"), _name(kind))
        if kind in ("gzip", "zstd"):
            sandbox.run(
                "skopeo", "--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false",
                f"oci-archive:{FOLDER}/{kind}.tar", f"docker://{_name(kind)}",
            )  # fmt: skip
            sandbox.run("rm", f"{FOLDER}/{kind}.tar")


def _name(kind: str) -> str:
    return f"127.0.0.1:{PORT}/{kind}:1"


def _timed(pair: Pair, what: str, target: float, once: Callable[[Worker], float], runs: int = RUNS) -> Row:
    """Time something on both, in turn; the note is the processor time of all processes, which others don't lengthen."""
    taken: tuple[list[float], list[float]] = ([], [])
    used = [0.0, 0.0]
    for _ in range(runs):
        for number, worker in enumerate((pair.ours, pair.dockerd)):
            before = used_s(worker.engine.sandbox)
            taken[number].append(once(worker))
            used[number] += used_s(worker.engine.sandbox) - before
    ours, theirs = (statistics.median(each) * 1000 for each in taken)
    note = f"processor time {used[0] * 1000 / runs:.0f} ms, dockerd {used[1] * 1000 / runs:.0f}"
    return Row(what, ours, "dockerd", theirs, target, note)


def _clear(worker: Worker) -> None:
    names = worker.engine.out("images", "-q", "--filter", f"reference=127.0.0.1:{PORT}/*").split()
    if names:
        worker.engine("rmi", "-f", *names)


def _pull(worker: Worker, kind: str) -> float:
    _clear(worker)
    return worker.seconds("docker", "pull", "-q", _name(kind))


def _again(worker: Worker) -> float:
    return worker.seconds("docker", "pull", "-q", _name("zstd"))


def _save(worker: Worker) -> float:
    took = worker.seconds("docker", "save", "-o", f"{FOLDER}/saved.tar", _name("zstd"))
    worker.engine.sandbox.run("rm", f"{FOLDER}/saved.tar")
    return took


def _load(worker: Worker) -> float:
    _clear(worker)
    return worker.seconds("docker", "load", "-q", "-i", f"{FOLDER}/plain.tar", output=_name("plain"))


def _containers(worker: Worker) -> None:
    """Make one of the image that was loaded last, from which all can be copied, and one that has changed much."""
    from peers.box import NAME  # type: ignore[import-not-found]

    worker.seconds("docker", "create", "--name", "full", _name("plain"), "x")
    count = "docker cp full:/ - | tar t | grep -c 'layer[0-9]/folder[0-9]*/file'"
    worker.seconds("sh", "-c", count, output=f"{LAYERS * FILES}\n")
    script = f"i=0; while [ $i -lt {CHANGES} ]; do echo $i > /made$i; i=$((i+1)); done"
    worker.seconds("docker", "run", "--name", "changed", "--network", "none", NAME, "sh", "-c", script)


def _commit(worker: Worker) -> float:
    took = worker.seconds("docker", "commit", "changed", "made", output="sha256:")
    worker.seconds("docker", "rmi", "made")
    return took


def _prune() -> Row:
    """Remove blobs that nobody needs, while somebody else writes others all the time."""
    from moby_content.local.store import Store

    took, waits = list[float](), list[float]()
    for count in (BLOBS // 2, BLOBS):
        with tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as name:
            content, began = Store(Path(name)), threading.Event()
            _put(content, (b"%d" % number for number in range(count)))
            writing = threading.Thread(
                target=_put, args=(content, _until_over(waits, began, over := threading.Event()))
            )
            writing.start()
            began.wait()
            before = time.perf_counter()
            content.collect(list)
            took.append((time.perf_counter() - before) * 1000)
            over.set()
            writing.join()
    note = f"meanwhile somebody else writes blobs, each within {max(waits) * 1000:.0f} ms"
    return Row(f"prune of {BLOBS} blobs", took[1], f"of {BLOBS // 2}", took[0], 2.5, note)


def _put(content: Any, texts: Iterable[bytes]) -> None:
    with content.lease() as lease:
        for text in texts:
            with content.writer("a", lease) as writer:
                writer.write(text)
                writer.commit()


def _until_over(waits: list[float], began: threading.Event, over: threading.Event) -> Iterator[bytes]:
    """Yield what to write, and note how long each took."""
    number = 0
    while not over.is_set():
        before = time.perf_counter()
        yield b"more %d" % number
        waits.append(time.perf_counter() - before)
        began.set()
        number += 1


def _push(worker: Worker) -> float:
    worker.engine("load", "-q", "-i", f"{FOLDER}/fresh.tar")
    return worker.seconds("docker", "push", "-q", _name("fresh"))
