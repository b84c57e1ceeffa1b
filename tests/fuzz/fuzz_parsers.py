"""Targets: every parser of foreign bytes. Invariant of each: a value, or an error of ours that says what is wrong.

A target takes bytes and a folder of its own; it raises AssertionError, or what no parser may raise.
"""

import io
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import fuzz_dockerfile
import fuzz_manifest
from attrs import frozen
from fuzz_seeds import SEEDS

from moby.errors import Corrupt, HostUnfit, Invalid, NotFound, Unavailable, Unsupported

REFUSED = (Invalid, Corrupt, Unsupported, NotFound)


@frozen
class Target:
    """A parser under test, and what it is begun with."""

    check: Callable[[bytes, Path], None]
    seeds: tuple[bytes, ...]


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def manifest(data: bytes, folder: Path) -> None:
    fuzz_manifest.check(data, folder / "m.yaml")


def dockerfile(data: bytes, folder: Path) -> None:
    fuzz_dockerfile.check(data)


def ignore_file(data: bytes, folder: Path) -> None:
    fuzz_dockerfile.check_ignore_file(data)


def reference(data: bytes, folder: Path) -> None:
    from moby.oci import reference as references

    with suppress(Invalid):
        found = references.parse(_text(data))
        assert references.parse(str(found)) == found
        assert references.parse(references.familiar(found)) == found


def digest(data: bytes, folder: Path) -> None:
    from moby.oci import digest as digests

    with suppress(Invalid):
        assert str(digests.parse(_text(data))) == _text(data)


def image_config(data: bytes, folder: Path) -> None:
    from moby.oci import image

    with suppress(Invalid):
        found = image.parse_config(data)
        again = image.dump_config(found.config, found.platform, found.diff_ids, created=found.created)
        assert image.parse_config(again).config == found.config


def image_manifest(data: bytes, folder: Path) -> None:
    from moby.oci import image

    with suppress(Invalid):
        found = image.parse_manifest(data)
        assert image.parse_manifest(image.dump_manifest(found)).layers == found.layers


def image_index(data: bytes, folder: Path) -> None:
    from moby.oci import image

    with suppress(Invalid):
        found = image.parse_index(data)
        assert image.parse_index(image.dump_index(found)).manifests == found.manifests


def layer(data: bytes, folder: Path) -> None:
    """Whatever a layer holds stays inside the folder that it is unpacked into."""
    from moby.host import tree
    from moby.oci.unpack import Limits, Unpacking

    root = folder / "root"
    root.mkdir()
    before = _listed(folder, but=root)
    root_fd = os.open(root, tree.DIRECTORY_FLAGS)
    try:
        unpacking = Unpacking(root_fd, False, Limits(1 << 20, 1000))
        with suppress(Invalid, HostUnfit):
            unpacking.apply(io.BytesIO(data))
            unpacking.finish()
        assert _listed(folder, but=root) == before
    finally:
        os.close(root_fd)
        parent = os.open(folder, tree.DIRECTORY_FLAGS)
        tree.remove(parent, "root")
        os.close(parent)


def upper_layer(data: bytes, folder: Path) -> None:
    """Nor does one for an overlay reach out of it, or change a layer below, whose links lead out."""
    from moby.host import tree
    from moby.oci.pack import marks_of
    from moby.oci.unpack import Limits
    from moby.oci.upper import UpperUnpacking

    below, own = folder / "below", folder / "own"
    for each in (below / "d", own):
        each.mkdir(parents=True)
    (below / "a").symlink_to("../../../")
    (below / "n").symlink_to(str(folder))
    (below / "d/f").write_bytes(b"x")
    before = _listed(folder, but=own), sorted(each.name for each in below.rglob("*"))
    fds = [os.open(each, tree.DIRECTORY_FLAGS) for each in (own, below)]
    try:
        marks = marks_of(userxattr=True)
        unpacking = UpperUnpacking(fds[0], False, Limits(1 << 20, 1000), lowers=lambda: (fds[1],), marks=marks)
        with suppress(Invalid, HostUnfit):
            unpacking.apply(io.BytesIO(data))
            unpacking.finish()
        assert (_listed(folder, but=own), sorted(each.name for each in below.rglob("*"))) == before
    finally:
        for fd in fds:
            os.close(fd)
        _removed(folder, "below", "own")


def image_archive(data: bytes, folder: Path) -> None:
    """Of an archive that is refused nothing stays; one that is taken can be saved."""
    from images.store_parts import store

    images = store(folder)
    try:
        with suppress(*REFUSED, HostUnfit):
            for _ in images.load(io.BytesIO(data)):
                pass
        names = [str(each.id) for each in images.list(all=True)]
        if names:
            assert b"".join(images.save(names))
        else:
            images.reclaim()
            assert list((folder / "content/blobs/sha256").iterdir()) == []
            assert [each.name for each in (folder / "snapshots").glob("*") if each.is_dir()] == []
    finally:
        images._shared.parts.metadata.__exit__()
        _removed(folder, *(each.name for each in folder.iterdir()))


def _removed(folder: Path, *names: str) -> None:
    from moby.host import tree

    parent = os.open(folder, tree.DIRECTORY_FLAGS)
    for name in names:
        tree.remove(parent, name)
    os.close(parent)


def _listed(folder: Path, but: Path) -> list[tuple[str, int, int]]:
    found = (path for path in folder.iterdir() if path != but)
    return sorted((path.name, path.lstat().st_size, path.lstat().st_mode) for path in found)


def elf(data: bytes, folder: Path) -> None:
    from moby_images.command.elf import interpreter_of

    (folder / "program").write_bytes(data)
    with suppress(Invalid):
        assert isinstance(interpreter_of(folder / "program"), str)


def users(data: bytes, folder: Path) -> None:
    from moby.oci.user import parse_user

    text, _, rest = _text(data).partition("\n")
    passwd, _, group = rest.partition("\n\n")
    with suppress(Invalid, NotFound):
        found = parse_user(text, passwd, group)
        assert 0 <= found.uid < 1 << 31
        assert 0 <= found.gid < 1 << 31


def lock(data: bytes, folder: Path) -> None:
    from moby.lock import dumps, loads
    from moby.plan import check

    with suppress(Invalid, Unsupported):
        found = loads(data)
        for plan in (found.engine, found.build):
            names = [plan.name, *(part for each in plan.instances for part in (each.kind, each.name))]
            assert not any("/" in name or name in (".", "..") for name in names)
        assert loads(dumps(found)) == found
        check(found.engine)


def artifact(data: bytes, folder: Path) -> None:
    """A distribution whose lock is looked for, inside or beside it."""
    from moby.distribution.reproduction import embedded_lock

    with suppress(Invalid, Unsupported):
        embedded_lock(folder / "x.pyz", data)


def locked_artifact(data: bytes, folder: Path) -> None:
    out = io.BytesIO(b"#!/usr/bin/env python3\n")
    with zipfile.ZipFile(out, "a") as archive:
        archive.writestr("moby-lock.json", data)
    artifact(out.getvalue(), folder)


def sizes(data: bytes, folder: Path) -> None:
    """The document of an earlier build, which somebody may have changed."""
    from moby.distribution.sbom import sizes_in

    for owners in sizes_in(data).values():
        assert all(isinstance(count, int) for count in owners.values())


def sums(data: bytes, folder: Path) -> None:
    from moby.distribution.output import SUMS, is_whole

    (folder / SUMS).write_bytes(data)
    is_whole(folder)
    (folder / SUMS).unlink()


def runtime_config(data: bytes, folder: Path) -> None:
    from moby_runtime.native.spec import read

    (folder / "config.json").write_bytes(data)
    with suppress(*REFUSED):
        read(folder)


def runtime_process(data: bytes, folder: Path) -> None:
    """What exec and update are given."""
    from moby_runtime.native.spec import check_resources, process_spec

    with suppress(ValueError, RecursionError):
        value = json.loads(data)
        if isinstance(value, dict):
            with suppress(*REFUSED):
                assert process_spec(value, {}).args
            with suppress(*REFUSED):
                check_resources(value)


def mount_options(data: bytes, folder: Path) -> None:
    """Of a list of options the last that speaks of a thing wins, and what nobody knows is the file system's."""
    from moby_runtime.native.mount_options import known, parse

    from moby.host.mounts import ACCESS_TIME, FLAGS

    options = _text(data).split("\n")
    found = parse(options)
    assert list(found.data) == [each for each in options if each not in known() | {"remount"}]
    assert not found.on & found.off & ~ACCESS_TIME
    assert not found.all_on & found.all_off & ~ACCESS_TIME
    assert found.flags & ~sum({*FLAGS.values()}) == 0
    again = parse([*options, *options])
    assert (again.flags, again.on, again.off, again.bind, again.recursive) == (
        found.flags, found.on, found.off, found.bind, found.recursive,
    )  # fmt: skip
    assert parse(["ro", *options, "ro"]).on & 1
    assert parse([*options, "ro", "rw"]).flags & 1 == 0


def runtime_record(data: bytes, folder: Path) -> None:
    from moby_runtime.native.records import Records

    (folder / "box").mkdir(exist_ok=True)
    (folder / "box/state.json").write_bytes(data)
    with suppress(Corrupt):
        Records(folder).read("box")


def served_message(data: bytes, folder: Path) -> None:
    """What another process sends is a call as the contract has it, or refused; descriptors that came are all closed."""
    from moby.contracts.supervisor import Supervisor
    from moby.served import answering, wire
    from moby.served.methods import interface_of

    reader = wire.Reader(1 << 16)
    fds = [os.open(os.devnull, os.O_RDONLY) for _ in range(data[0] % 3 if data else 0)]
    with suppress(*REFUSED):
        reader.feed(data[1:], fds)
        while (message := reader.next()) is not None:
            body, received = message
            try:
                call = answering.read_call(
                    interface_of(Supervisor), object(), wire.unpack(body), received, lambda: None
                )
                assert isinstance(call, answering.Packed) or call.method.required <= call.arguments.keys()
            finally:
                wire.close_all(received)
    reader.close()


def served_error(data: bytes, folder: Path) -> None:
    """An error that another process sends is one that can be raised, and sent on, as it is."""
    from moby.errors import MobyError
    from moby.served import faults

    try:
        found = faults.load(json.loads(data))
    except (ValueError, RecursionError):
        return
    assert isinstance(found, MobyError | OSError)
    again = faults.load(faults.dump(found))
    assert type(again) is type(found)
    assert str(again)[:1000] == str(found)[:1000]


def settings(data: bytes, folder: Path) -> None:
    from moby.engine import settings as engine_settings

    (folder / "engine.toml").write_bytes(data)
    with suppress(Invalid):
        found = engine_settings.read(_open_plan(), folder / "engine.toml", {"MOBY_IMAGES_LAYOUT_MAX": _variable(data)})
        assert set(found) <= {"images/layout"}


def _variable(data: bytes) -> str:
    return _text(data[:60]).replace("\0", "")


def _open_plan() -> Any:
    from moby.component import Facts, Option
    from moby.plan import Instance, Plan

    option = Option("max", {"type": "integer"})
    facts = Facts("images/layout", "images", "layout", "1", 1, "x 1", "x", options=(option,))
    return Plan("x", (Instance("images", "layout", facts, {"max": 1}, ("max",)),))


def plugin_facts(data: bytes, folder: Path) -> None:
    from moby.registry import facts_file
    from moby.registry.installed import Distribution, Entry

    info = folder / "x-1.dist-info"
    (info / "extra_metadata").mkdir(parents=True, exist_ok=True)
    (folder / "x.py").touch()
    (info / facts_file.IN_DIST_INFO).write_bytes(data)
    with suppress(Corrupt):
        facts_file.read(Distribution("moby-framework", "0.1.0", info, (Entry("a", "moby_images.layout.plugin"),)))


def plugin_info(data: bytes, folder: Path) -> None:
    """What an installer wrote about a distribution."""
    from moby.registry.installed import scan

    info = folder / "x-1.dist-info"
    info.mkdir(exist_ok=True)
    for name in ("METADATA", "entry_points.txt", "direct_url.json", "RECORD"):
        (info / name).write_bytes(data)
    scan([str(folder)])


def host_facts(data: bytes, folder: Path) -> None:
    from moby.host.facts import satisfies
    from moby.target import target_facts

    (folder / "facts.json").write_bytes(data)
    with suppress(Invalid):
        found = target_facts(str(folder / "facts.json"))
        assert isinstance(found, Mapping)
        for what, name in (("kernel", "clone3"), ("binary", "sh"), ("library", "c"), ("cgroup", "v2"), ("python", "")):
            assert satisfies(found, what, name, ">=1") is not None


def seccomp_profile(data: bytes, folder: Path) -> None:
    import json

    from moby.oci.seccomp.architectures import ARCHITECTURES
    from moby.oci.seccomp.compiler import compiled

    try:
        profile = json.loads(data)
    except (ValueError, RecursionError):
        return
    for name in ("X86_64", "S390X"):
        with suppress(Invalid):
            program = compiled(profile, ARCHITECTURES[name]).program
            assert 0 < len(program) <= 4096 * 8
            assert len(program) % 8 == 0


def docker_profile(data: bytes, folder: Path) -> None:
    import json

    from moby.oci.seccomp.architectures import ARCHITECTURES
    from moby.oci.seccomp.compiler import compiled
    from moby.oci.seccomp.docker_format import evaluated

    try:
        profile = json.loads(data)
    except (ValueError, RecursionError):
        return
    native = ARCHITECTURES["X86_64"]
    for capabilities in ((), ("CAP_SYS_ADMIN",)):
        with suppress(Invalid):
            compiled(evaluated(profile, native, capabilities, (4, 8)), native)


def _log(data: bytes, decoder: Any, again: Any) -> None:
    """A log's bytes give the same records whole and in pieces; what is none is counted."""
    from moby_log.records.lines import NAMES

    def flat(found: Any) -> list[tuple[int, int, bytes]]:
        return [(run.stream, run.time_ns, line + run.end) for run in found for line in run.lines]

    whole = flat(decoder.feed(data))
    pieces = [each for at in range(0, len(data), 7) for each in flat(again.feed(data[at : at + 7]))]
    assert whole == pieces
    assert decoder.bad == again.bad
    assert decoder.take_back() == again.take_back() <= len(data)
    assert all(stream in NAMES or stream == 0 for stream, _, _ in whole)


def json_log(data: bytes, folder: Path) -> None:
    from moby_log.json_file.decoding import LineDecoder

    _log(data, LineDecoder(), LineDecoder())


def local_log(data: bytes, folder: Path) -> None:
    from moby_log.local.blocks import BlockDecoder

    _log(data, BlockDecoder(), BlockDecoder())


def log_folder(data: bytes, folder: Path) -> None:
    """Files of a log, of which one is compressed: read from either end, and followed by a writer that goes on."""
    from moby_log.json_file.driver import JsonFile
    from moby_log.local.driver import Local

    from moby.contracts.log_driver import STDOUT, LogConfig
    from moby.testing.logs import frames, read

    for driver, name in ((JsonFile(), "a-json.log"), (Local(), "local-logs/container.log")):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        path.with_name(f"{path.name}.1.gz").write_bytes(data)
        config = LogConfig("a", folder)
        for query in ({"tail": 3}, {"timestamps": True, "details": True}, {"since_ns": 10**18, "framed": False}):
            with suppress(Corrupt):
                read(driver, config, **query)
        writer = driver.open(config)
        writer.write(STDOUT, 1, b"next\n")
        writer.close()
        with suppress(Corrupt):
            assert frames(read(driver, config, tail=1))[-1][1] == b"next\n"
        shutil.rmtree(folder / "local-logs", ignore_errors=True)


def journal_export(data: bytes, folder: Path) -> None:
    from moby_log.journald.entries import Export, run_of

    with suppress(Corrupt):
        for fields in Export().feed(data):
            run_of(fields)


def log_tag(data: bytes, folder: Path) -> None:
    from moby_log.records.tags import check

    with suppress(Invalid):
        check(_text(data))


def dns_message(data: bytes, folder: Path) -> None:
    """What is answered asks the same, and only its asker's words are in it."""
    from moby_discovery.dns import messages

    question = messages.parse(data)
    if question is None:
        return
    value = messages.reverse_address(question.name) or "10.0.0.2"
    for reply in (messages.answer(question, [value, "fd00::1"]), messages.failure(question, messages.SERVER_FAILURE)):
        assert reply[:2] == data[:2]
        assert reply[12 : 12 + len(question.section)] == question.section


def cache_config(data: bytes, folder: Path) -> None:
    """Every record leads to layers, each of which is on those before it."""
    from moby_builder.dockerfile.exports.caches import format as formats
    from moby_builder.dockerfile.exports.caches.mounts import mounts_in

    with suppress(Invalid):
        layers, records = formats.parse(data)
        chains = formats.chains(layers)
        assert all(chains[each.layer][-1] == layers[each.layer][1] for each in records)
        for each in mounts_in(data):
            assert str(each.blob.digest) == each.document()["blob"]


def package_lists(data: bytes, folder: Path) -> None:
    """Whatever a list says, packages have a name and a version, and a bill of them can be written."""
    from moby_builder.dockerfile.exports.attestations.packages import distribution_of, packages_in
    from moby_builder.dockerfile.exports.attestations.sbom import bill
    from moby_builder.dockerfile.exports.attestations.statements import statement

    root = folder / "packages"
    for path in (
        "var/lib/dpkg/status", "lib/apk/db/installed", "var/lib/rpmmanifest/container-manifest-2", "etc/os-release",
        "a.dist-info/METADATA", "node_modules/a/package.json",
    ):  # fmt: skip
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    found = packages_in(root)
    assert all(each.name and each.version for each in found)
    assert statement("t", bill("name", found, distribution_of(root), 0), [])


def http2(data: bytes, folder: Path) -> None:
    """What a server's end takes, it has room for; what it can't take ends the connection by name."""
    from moby_frontend.docker.buildkit.http2.connection import Chunk, Connection
    from moby_frontend.docker.buildkit.http2.frames import PREFACE, ProtocolError

    connection = Connection(client=False, window=1 << 16)
    taken = 0
    with suppress(ProtocolError):
        for event in connection.receive(PREFACE + data):
            taken += event.size if isinstance(event, Chunk) else 0
    assert taken <= len(data)
    assert connection.room(1) <= 1 << 31


def build_request(data: bytes, folder: Path) -> None:
    """What is read of a message is what is written of it."""
    from moby_frontend.docker.buildkit.messages import decode, encode
    from moby_frontend.docker.buildkit.protocol.control import SolveRequest
    from moby_frontend.docker.buildkit.protocol.gateway import GatewaySolve

    for kind in (SolveRequest, GatewaySolve):
        with suppress(Invalid):
            found = decode(kind, data)
            assert decode(kind, encode(found)) == found


def build_files(data: bytes, folder: Path) -> None:
    """Whatever files a client sends, their paths stay inside, and each is in a folder that came before."""
    from moby_frontend.docker.buildkit.grpc import Messages
    from moby_frontend.docker.buildkit.messages import decode
    from moby_frontend.docker.buildkit.protocol.lending import Packet
    from moby_frontend.docker.buildkit.session.files import take

    class Client:
        def batches(self, kind: type) -> Any:
            yield [decode(Packet, each) for each in Messages().feed(data)]

        def send(self, *messages: Any, end: bool = False) -> None:
            pass

    class Inside:
        seen = frozenset({""})

        def entry(self, entry: Any) -> bool:
            assert entry.path.rpartition("/")[0] in self.seen
            assert not {"", ".", ".."} & set(entry.path.split("/"))
            assert entry.path not in self.seen
            self.seen |= {entry.path}
            return True

        def content(self, path: str, chunk: bytes) -> None:
            assert path in self.seen

    with suppress(Invalid, Unavailable):
        take(Client(), Inside())  # type: ignore[arg-type]


def container_request(data: bytes, folder: Path) -> None:
    """What a client asks a container to be is shown as it was asked, or refused."""
    from moby_containers.engine.checks import check, check_asked
    from moby_frontend.docker.call import encode
    from moby_frontend.docker.translate.config import read_create, show_create

    with suppress(ValueError, RecursionError):
        value = json.loads(data)
        if isinstance(value, dict):
            with suppress(*REFUSED):
                found = read_create(value)
                check(found)
                check_asked(found)
                shown = encode(show_create(found, (1, 47)))
                again = read_create(json.loads(shown))
                assert again == found or "\\ud800" in _text(data), (again, found)


def expression(data: bytes, folder: Path) -> None:
    """Whatever is looked for is found, or not, before long."""
    from moby.expressions import found

    assert isinstance(found(_text(data), "0123456789abcdef" * 4), bool)


def cni(data: bytes, folder: Path) -> None:
    """What a plugin answers is a result whose names and addresses are such, or refused; so is a list."""
    from ipaddress import ip_address, ip_interface

    from moby_network_driver.cni.lists import read
    from moby_network_driver.cni.results import refusal, result_of

    with suppress(HostUnfit):
        found = result_of(data, "plugin", "eth0")
        assert all(0 < len(each.encode()) < 16 and "/" not in each for each in found.devices)
        assert all(ip_interface(each).version for each in found.addresses)
        assert len({ip_address(each).version for each in found.gateways}) == len(found.gateways)
    assert isinstance(refusal(data, data, 1), str)
    with suppress(ValueError, RecursionError, Invalid):
        assert read(json.loads(data), "here").plugins


def network_plugin(data: bytes, folder: Path) -> None:
    """What a plugin of docker's answers is an interface, addresses and ways, or refused; so is what netavark says."""
    from ipaddress import ip_address, ip_interface, ip_network

    from moby_network_driver.netavark.running import refusal
    from moby_network_driver.plugin import words

    from moby.host.docker_plugins import object_of

    assert refusal(data, b"", 1)
    answer = object_of(data)
    if answer is None:
        return
    with suppress(HostUnfit):
        found = words.joined_of(answer, "plugin")
        assert 0 < len(found.made_as.encode()) < 16
        assert "/" not in found.made_as
        assert all(ip_address(each).version for each in found.gateways)
        assert all(ip_network(each.destination).version for each in found.ways)
    with suppress(HostUnfit):
        mac, own = words.own_of(answer, "plugin")
        assert not mac or len(bytes.fromhex(mac.replace(":", ""))) == 6
        assert all(ip_interface(each).version for each in own)


CHECKS = {
    each.__name__: each
    for each in (
        manifest, reference, digest, image_config, image_manifest, image_index, layer, upper_layer,
        image_archive, elf, users, lock, artifact,
        locked_artifact, sizes, sums, runtime_config, runtime_process, runtime_record, settings, plugin_facts,
        plugin_info, host_facts, seccomp_profile, docker_profile, mount_options, served_message, served_error,
        json_log, local_log, log_folder, journal_export, log_tag, dns_message, dockerfile, ignore_file,
        cache_config, package_lists, http2, build_request, build_files, container_request, expression, cni,
        network_plugin,
    )
}  # fmt: skip
TARGETS = {name: Target(check, tuple(SEEDS[name]())) for name, check in CHECKS.items()}
