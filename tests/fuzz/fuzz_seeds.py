"""What each fuzz target begins with: small inputs that its parser takes, by our own writers where there are any."""

import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import fuzz_dockerfile

from moby.testing.archives import Archived, described, docker, layout, legacy

HEX = "0123456789abcdef" * 4


def _json(*values: Any) -> list[bytes]:
    return [json.dumps(value).encode() for value in values]


@cache
def _lock() -> bytes:
    from moby import manifest, registry, resolver
    from moby.lock import Lock, ManifestPin, Pin, dumps

    assembly = manifest.load("quickstart")
    catalog = registry.discover()
    plan, build = resolver.resolve(assembly, catalog), resolver.resolve_build(assembly, catalog)
    pins = (Pin("attrs", "1", "sha256:1"),)
    return dumps(Lock("quickstart", "0.1.0", "3.13", plan, build, (ManifestPin("a", "sha256:2"),), pins))


def _plugin_facts() -> list[bytes]:
    lock = json.loads(_lock())
    facts = [each["facts"] for each in lock["engine"]["instances"] if each["kind"] == "images"]
    return _json({"schema": 1, "components": facts})


def _layer() -> list[bytes]:
    made = []
    for style in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=style) as tar:
            for name, kind, link in (
                ("a", tarfile.DIRTYPE, ""), ("a/f", tarfile.REGTYPE, ""), ("a/l", tarfile.SYMTYPE, "../../x"),
                ("a/h", tarfile.LNKTYPE, "a/f"), ("a/.wh.f", tarfile.REGTYPE, ""), ("n" * 99, tarfile.REGTYPE, ""),
                ("a/l/y", tarfile.REGTYPE, ""), ("p", tarfile.FIFOTYPE, ""),
            ):  # fmt: skip
                info = tarfile.TarInfo(name)
                info.type, info.linkname = kind, link
                info.size = 3 if kind == tarfile.REGTYPE else 0
                tar.addfile(info, io.BytesIO(b"abc"))
        made.append(out.getvalue())
    return made


def _archive() -> list[bytes]:
    image = Archived(_layer()[2:])
    name = {"io.containerd.image.name": "a:1"}
    index = [described(image.manifest, "application/vnd.oci.image.manifest.v1+json", annotations=name)]
    return [docker(image, "a:1"), layout(index, image), legacy(_layer()[2:], {"a": {"1": "0"}}), *_layer()[:1]]


def _elf() -> list[bytes]:
    with open("/bin/sh", "rb") as file:  # noqa: PTH123
        head = file.read(4096)
    return [head, b"#!/bin/sh -e\n", b"#! \n", b"\x7fELF\x01\x02\x01" + bytes(60)]


def _profile() -> list[bytes]:
    argument = {"index": 0, "value": 1 << 63, "valueTwo": 1, "op": "SCMP_CMP_MASKED_EQ"}
    rule = {"names": ["read", "socket"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5, "args": [argument]}
    return _json(
        {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"], "syscalls": [rule]},
        {
            "defaultAction": "SCMP_ACT_TRACE",
            "defaultErrnoRet": 1,
            "flags": ["SECCOMP_FILTER_FLAG_LOG"],
            "listenerPath": "/a",
            "listenerMetadata": "b",
            "syscalls": [{"names": ["clone3"], "action": "SCMP_ACT_NOTIFY"}],
        },
    )


def _docker_profile() -> list[bytes]:
    depends = {"arches": ["amd64"], "caps": ["CAP_SYS_ADMIN"], "minKernel": "4.8"}
    return _json(
        {
            "defaultAction": "SCMP_ACT_ERRNO",
            "defaultErrno": "EPERM",
            "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
            "syscalls": [
                {"names": ["read"], "action": "SCMP_ACT_ALLOW", "includes": depends, "excludes": {"caps": ["CAP_BPF"]}},
                {"name": "write", "action": "SCMP_ACT_ERRNO", "errno": "EXDEV", "excludes": depends},
            ],
        }
    )


def _artifact() -> list[bytes]:
    out = io.BytesIO(b"#!/usr/bin/env python3\n")
    with zipfile.ZipFile(out, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("moby-lock.json", b'{"schema": 1}')
        archive.writestr("__main__.py", b"pass")
    return [out.getvalue()]


def _served_messages() -> list[bytes]:
    from moby.served import wire

    config = {"id": "a", "bundle": "/b", "window": {"rows": 1}, "log": {"container_id": "a", "folder": "/c"}}
    health = {"test": ["CMD", "true"], "interval_ns": 1}
    calls = [
        {"call": "create", "with": {"config": {**config, "health": health}}},
        {"call": "exec", "with": {"task_id": "a", "exec_id": "b", "process": {"args": []}, "config": config}},
        {"call": "logs", "with": {"config": config["log"], "query": {"tail": 3}}},
        {"call": "kill", "with": {"task_id": "a", "signal": 9, "everyone": True}},
        {"call": "health", "with": {}},
        {"get": "x"},
    ]
    return [bytes([number]) + wire.pack(each) for number, each in enumerate(calls)]


def _served_errors() -> list[bytes]:
    from moby.errors import Invalid, NotFound, Origin, Problem
    from moby.served import faults

    first, second = NotFound("a", hint="b"), Invalid("c", problems=(Problem("d", Origin("e", 1, 2), ("f",)),))
    first.__cause__ = OSError(2, "g", "h")
    second.__cause__ = ValueError("i")
    return _json(faults.dump(first), faults.dump(second))


def _runtime_config() -> list[bytes]:
    from pathlib import Path

    from moby.contracts.images import ImageConfig
    from moby.oci.spec import Request, container_spec, rootless
    from moby.oci.user import User

    spec = container_spec(ImageConfig(command=("sh",)), Request(hostname="h"), user=User(), rootfs=Path("/"))
    return _json(spec, rootless(spec, uid=1000, gid=1000))


def _runtime_process() -> list[bytes]:
    spec = json.loads(_runtime_config()[0])
    rare = {
        "scheduler": {"policy": "SCHED_BATCH", "nice": 1},
        "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 4},
    }
    rlimits = [{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 2}]
    process = {**spec["process"], **rare, "rlimits": rlimits, "execCPUAffinity": {"initial": "0-3,7", "final": "1"}}
    limits = {
        "memory": {"limit": 1},
        "cpu": {"cpus": "0-1", "quota": -1},
        "pids": {"limit": 3},
        "unified": {"a.b": "c"},
    }
    return _json(process, {**spec["linux"]["resources"], **limits})


def _descriptor(kind: str) -> Mapping[str, Any]:
    media_type = f"application/vnd.oci.image.{kind}.v1"
    return {"mediaType": f"{media_type}{'.tar' if kind == 'layer' else '+json'}", "digest": f"sha256:{HEX}", "size": 3}


def _config() -> list[bytes]:
    run = {"Cmd": ["sh"], "Env": ["A=b"], "User": "1:2", "Labels": {"a": "b"}, "WorkingDir": "/x"}
    rootfs = {"type": "layers", "diff_ids": [f"sha256:{HEX}"]}
    return _json({"os": "linux", "architecture": "amd64", "config": run, "rootfs": rootfs, "created": "x"})


def _record() -> list[bytes]:
    return _json({"format": 1, "id": "box", "bundle": "/b", "boot": "x", "pid": 1, "start_ticks": 2, "cgroups": ["/c"]})


def _host_facts() -> list[bytes]:
    return _json({
        "schema": 1, "system": {"machine": "x", "kernel": "6.1", "python": "3.13.0", "implementation": "cpython"},
        "kernel": {"clone3": {"ok": True, "detail": "", "fix": ""}}, "cgroup": {"mode": "v2"},
        "privilege": {"root": True}, "binary": {"sh": {"path": "/bin/sh", "version": "1"}}, "library": {"c": True},
    })  # fmt: skip


MANIFESTS = [
    b"\x00moby: 1\nname: a\ncomponents: {k: [a, {use: b, as: c, config: {x: {open: 1}}}]}\n",
    b"\x02moby: 1\nparameters: {p: 1}\ncomponents: {k: a}\nparameters.p=2\ncomponents.k.config.x=${p}",
    b"\x00moby: 1\nextends: [quickstart]\ncomponents: {runtime: {config: {a: null}}, images: null}\n",
    b"\x00moby: 1\ndistribution: {formats: [pyz], budget: 20MiB, config: {pyz: {a: &x [1], b: *x}}}\n",
]


def _batches() -> list[Any]:
    from moby_log.records.lines import Batch

    return [Batch(1, 10**18, b'one\n"two"\n'), Batch(2, 10**18 + 1, b"x" * 50, 1, False, "a"), Batch(1, 5, b"end\n")]


def _json_log() -> list[bytes]:
    from moby_log.json_file.encoding import Encoder

    encoders = Encoder({}), Encoder({"a": "1"})
    return [b"".join(each.lines(batch) for batch in _batches()) for each in encoders]


def _local_log() -> list[bytes]:
    from moby_log.local.blocks import encoded

    return [b"".join(encoded(batch, attributes) for batch in _batches()) for attributes in (b"", b'{"a":"1"}')]


def _journal() -> list[bytes]:
    return [b"MESSAGE=x\nPRIORITY=6\n\nMESSAGE\n\3\0\0\0\0\0\0\0a\nb\n__REALTIME_TIMESTAMP=1\n\n"]


def _http2() -> list[bytes]:
    from moby_frontend.docker.buildkit.http2.connection import Connection
    from moby_frontend.docker.buildkit.http2.frames import PREFACE, Code, Kind, frame

    client = Connection(client=True, window=1 << 16)
    begun = client.begin().removeprefix(PREFACE)
    number, head = client.open([(":method", "POST"), (":path", "/x"), ("te", "trailers")])
    rest = [client.data(number, b"x" * 30, end=True), frame(Kind.PING, 0, 0, bytes(8)), client.leave(Code.NO_ERROR)]
    padded = frame(Kind.HEADERS, 0x2C, 3, b"\x02" + bytes(5) + b"\x82\x84" + bytes(2))
    return [begun + head + b"".join(rest), begun + padded + frame(Kind.CONTINUATION, 4, 3, b"\x86"), head]


def _build_request() -> list[bytes]:
    from moby_frontend.docker.buildkit.graphs import graph
    from moby_frontend.docker.buildkit.messages import encode
    from moby_frontend.docker.buildkit.protocol.control import Exporter, SolveRequest
    from moby_frontend.docker.buildkit.protocol.gateway import GatewaySolve

    from moby.contracts.types import Platform

    inputs = {"base": graph("reference", Platform())}
    options = {"filename": "Dockerfile", "build-arg:A": "b"}
    whole = SolveRequest("ref", session="s", frontend_inputs=inputs, exporters=[Exporter("moby", {"name": "a"})])
    return [encode(whole), encode(GatewaySolve(None, "dockerfile.v0", options, inputs=inputs))]


def _build_files() -> list[bytes]:
    from moby_frontend.docker.buildkit.grpc import pack
    from moby_frontend.docker.buildkit.protocol.lending import DATA, END, STAT, Packet, Stat

    stats = [Stat("a", 1 << 31 | 0o755), Stat("a/b", 0o644, size=1), Stat("a/c", 0o644, link="a/b"), Stat("d", 1 << 27)]
    packets = [
        *(Packet(STAT, each) for each in stats),
        Packet(STAT),
        Packet(DATA, None, 1, b"x"),
        Packet(DATA, None, 1),
    ]
    return [b"".join(map(pack, [*packets, Packet(END)]))]


CONTAINER = {
    "Hostname": "h",
    "User": "1:2",
    "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
    "Tty": False,
    "Env": ["A=1", "B"],
    "Cmd": ["sh"],
    "Entrypoint": None,
    "Image": "a:1",
    "Volumes": {"/v": {}},
    "WorkingDir": "/w",
    "Labels": {"a": "b"},
    "StopSignal": "SIGTERM",
    "StopTimeout": 3,
    "Healthcheck": {
        "Test": ["CMD", "x"],
        "Interval": 1000000000,
        "Timeout": 1000000000,
        "Retries": 3,
        "StartPeriod": 0,
        "StartInterval": 0,
    },
    "Shell": ["sh"],
    "HostConfig": {
        "Binds": ["/a:/b:ro", "v:/c:z"],
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m"}},
        "NetworkMode": "bridge",
        "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080-8090"}], "53/udp": None},
        "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3},
        "AutoRemove": False,
        "VolumesFrom": ["x:ro"],
        "CapAdd": ["NET_ADMIN"],
        "CapDrop": ["ALL"],
        "Dns": ["1.1.1.1"],
        "ExtraHosts": ["a:1.2.3.4", "b:host-gateway"],
        "GroupAdd": ["1"],
        "IpcMode": "private",
        "PidMode": "host",
        "Links": ["a:b"],
        "OomScoreAdj": 5,
        "SecurityOpt": ["no-new-privileges", "seccomp=unconfined"],
        "Tmpfs": {"/t": "size=1m,mode=777"},
        "UTSMode": "",
        "ShmSize": 1048576,
        "Sysctls": {"net.ipv4.ip_forward": "1"},
        "Runtime": "runc",
        "ConsoleSize": [1, 2],
        "CpuShares": 2,
        "Memory": 10000000,
        "NanoCpus": 1000000,
        "BlkioWeight": 10,
        "BlkioWeightDevice": [{"Path": "/dev/null", "Weight": 10}],
        "BlkioDeviceReadBps": [{"Path": "/dev/null", "Rate": 10}],
        "CpuPeriod": 0,
        "CpusetCpus": "0-1",
        "Devices": [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/x", "CgroupPermissions": "rwm"}],
        "DeviceRequests": [{"Driver": "", "Count": -1, "Capabilities": [["gpu"]]}],
        "DeviceCgroupRules": ["c 1:3 rwm"],
        "MemorySwap": -1,
        "MemorySwappiness": None,
        "PidsLimit": None,
        "Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 2}],
        "Mounts": [
            {
                "Type": "bind",
                "Source": "/a",
                "Target": "/d",
                "ReadOnly": True,
                "BindOptions": {"Propagation": "rprivate"},
            },
            {"Type": "tmpfs", "Target": "/e", "TmpfsOptions": {"SizeBytes": 10, "Mode": 511}},
            {
                "Type": "volume",
                "Source": "v",
                "Target": "/f",
                "VolumeOptions": {
                    "NoCopy": True,
                    "Labels": {},
                    "DriverConfig": {"Name": "local", "Options": {"a": "b"}},
                    "Subpath": "x",
                },
            },
        ],
        "MaskedPaths": ["/a"],
        "ReadonlyPaths": ["/b"],
        "Init": True,
        "Annotations": {"a": "b"},
    },
    "NetworkingConfig": {
        "EndpointsConfig": {
            "n": {
                "IPAMConfig": {"IPv4Address": "10.0.0.2", "IPv6Address": "", "LinkLocalIPs": ["169.254.1.1"]},
                "Links": None,
                "Aliases": ["a"],
                "MacAddress": "02:42:00:00:00:01",
                "DriverOpts": {"a": "b"},
                "GwPriority": 1,
            }
        }
    },
}
"""What a client may ask for, of each kind something."""

SEEDS: Mapping[str, Callable[[], list[bytes]]] = {
    "manifest": lambda: MANIFESTS,
    "dns_message": lambda: [
        b"\x124\1\0\0\1\0\0\0\0\0\0\3www\7example\0\0\1\0\1",
        b"\x124\1\0\0\1\0\0\0\0\0\0\x012\x010\x010\x0210\7in-addr\4arpa\0\0\x0c\0\1",
        b"\x124\1\0\0\1\0\0\0\0\0\1\3web\0\0\x1c\0\1" + b"\0\0\x29\4\xd0\0\0\0\0\0\0",
    ],
    "reference": lambda: [b"a", b"docker.io/library/a:b", b"h:5000/a/b-c_d.e@sha256:" + HEX.encode(), b"localhost/x"],
    "digest": lambda: [f"sha256:{HEX}".encode(), f"sha512:{HEX}{HEX}".encode()],
    "image_config": _config,
    "image_manifest": lambda: _json(
        {
            "schemaVersion": 2,
            "config": _descriptor("config"),
            "layers": [_descriptor("layer")],
            "annotations": {"a": "b"},
        }
    ),
    "image_index": lambda: _json(
        {"schemaVersion": 2, "manifests": [{**_descriptor("manifest"), "platform": {"os": "l", "architecture": "a"}}]}
    ),
    "layer": _layer,
    "upper_layer": _layer,
    "image_archive": _archive,
    "elf": _elf,
    "users": lambda: [b"a:b\na:x:1:2::/h:/s\n\nb:x:3:a,c\n", b"1:2\n\n\n", b"\n\n"],
    "lock": lambda: [_lock()],
    "artifact": _artifact,
    "locked_artifact": lambda: [_lock(), b"{}"],
    "sizes": lambda: _json(
        {"metadata": {"component": {"properties": [{"name": "a", "value": "1"}]}}, "components": []}
    ),
    "sums": lambda: [f"{HEX}  x\n".encode(), b""],
    "runtime_config": _runtime_config,
    "runtime_process": _runtime_process,
    "mount_options": lambda: [
        b"ro\nnosuid\nnodev\nnoexec\nrelatime\nmode=755\nsize=64k",
        b"rbind\nrw\nrro\nrnosuid\nrprivate\nslave\natime",
        b"bind\nro\nrw\nnoatime\nstrictatime\nnorelatime\nrsuid\nrdev\nsymfollow",
        b"lowerdir=/a:/b,upperdir=/c\n\nremount",
    ],
    "runtime_record": _record,
    "docker_profile": _docker_profile,
    "seccomp_profile": _profile,
    "json_log": _json_log,
    "local_log": _local_log,
    "log_folder": lambda: [*_json_log(), *_local_log(), *map(gzip.compress, _json_log())],
    "journal_export": _journal,
    "log_tag": lambda: [b"{{.ID}}", b'{{index (.ExtraAttributes nil) "a" | upper}}-{{/* x */}}'],
    "network_plugin": lambda: _json(
        {
            "InterfaceName": {"SrcName": "pc01", "DstPrefix": "eth"},
            "Gateway": "10.0.0.1",
            "GatewayIPv6": "fd00::1",
            "StaticRoutes": [
                {"Destination": "10.1.0.0/16", "RouteType": 0, "NextHop": "10.0.0.2"},
                {"Destination": "fd01::/64", "RouteType": 1},
            ],
        },
        {"Interface": {"Address": "10.0.0.7/24", "AddressIPv6": "fd00::7/64", "MacAddress": "02:00:00:00:00:01"}},
        {"error": "no luck"},
    ),
    "cni": lambda: _json(
        {
            "cniVersion": "1.0.0",
            "interfaces": [{"name": "cni0"}, {"name": "eth0", "mac": "02:00", "sandbox": "/x"}],
            "ips": [{"interface": 1, "address": "10.1.0.2/24", "gateway": "10.1.0.1"}],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
        {"cniVersion": "1.0.0", "name": "n", "plugins": [{"type": "bridge", "capabilities": {"ips": True}}]},
        {"code": 7, "msg": "no", "details": "luck"},
    ),
    "container_request": lambda: _json(CONTAINER),
    "expression": lambda: [rb"^/(web|api)(-[0-9]+)?$", b"((a)|(b{2,3}))*.+x", rb"[^a-c\d]\b\.(?:a|)$"],
    "settings": lambda: [b"[images.layout]\nmax = 1\n", b"[a.b]\nc = [1, {d = 1979-05-27}]\n"],
    "plugin_facts": _plugin_facts,
    "plugin_info": lambda: [b"Name: x\nVersion: 1\n\n[moby.components]\na = b\n", b'{"dir_info": {"editable": true}}'],
    "host_facts": _host_facts,
    "served_message": _served_messages,
    "served_error": _served_errors,
    "cache_config": lambda: _json(
        {
            "layers": [
                {
                    "blob": f"sha256:{HEX}",
                    "parent": -1,
                    "annotations": {
                        "mediaType": "m",
                        "diffID": f"sha256:{HEX}",
                        "size": 1,
                        "createdAt": "2020-01-02T03:04:05.6Z",
                    },
                },
            ],
            "records": [{"digest": f"sha256:{HEX}", "identity": "i", "layers": [{"layer": 0}]}],
            "mounts": [{"id": "i", "description": "d", "blob": f"sha256:{HEX}", "size": 1, "mediaType": "m"}],
        }
    ),
    "package_lists": lambda: [
        b"Package: a\nVersion: 1\nStatus: install ok installed\n d\n\nName: b\nVersion: 2\nP:c\nV:3\nID=debian\n",
        b'{"name": "a", "version": "1", "license": "MIT"}',
        b'{"name": "\\ud800", "version": "1"}',
        b"a\t1-1\t1\t2\tv\t(none)\t3\tx86_64\t0\tsrc\n",
    ],
    "dockerfile": lambda: fuzz_dockerfile.SEEDS,
    "ignore_file": lambda: fuzz_dockerfile.IGNORE_SEEDS,
    "http2": _http2,
    "build_request": _build_request,
    "build_files": _build_files,
}
