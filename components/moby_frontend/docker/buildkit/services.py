"""The services that clients call: moby.buildkit.v1.Control, and the bridge of a client's part of a build."""

import json
import platform
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from moby.contracts.builder import Builder
from moby.errors import Conflict, Invalid, NotFound, Unsupported
from moby.oci.reference import parse
from moby_frontend.docker.buildkit import reading, requests, usage, workers
from moby_frontend.docker.buildkit.building import Building
from moby_frontend.docker.buildkit.grpc import Fault, Method, Served
from moby_frontend.docker.buildkit.jobs import Job
from moby_frontend.docker.buildkit.progress import shown
from moby_frontend.docker.buildkit.protocol import control, gateway
from moby_frontend.docker.buildkit.protocol.common import (
    BuildkitVersion,
    Capability,
    Empty,
    PbPlatform,
    WorkerRecord,
)
from moby_frontend.docker.parts import RELEASE, Parts

__all__ = ["methods"]

_CONTROL = "/moby.buildkit.v1.Control/"
_BRIDGE = "/moby.buildkit.v1.frontend.LLBBridge/"
_JOB_S = 15.0
"""How long a call waits for the build that it belongs to, which comes over another connection, maybe later."""
_BUILD_ID = "buildkit-controlapi-buildid"
_WORKER = "org.mobyproject.buildkit.worker."
_BUILDKIT = "0.13.2"
"""The BuildKit of dockerd 26.1, whose words these are: clients look at it for what they may ask for."""
_CAPABILITIES = (
    "solve.base", "return", "returnmap", "proto.refarray", "reference.output", "frontend.inputs", "frontend.caps",
    "gateway.solve.metadata", "gateway.solve.evaluate", "gateway.evaluate", "importcaches", "readfile", "readdir",
    "statfile", "resolveimage", "resolveimage.resolvemode",
)  # fmt: skip
_GRAPH_CAPABILITIES = (
    "source.image", "source.image.resolvemode", "source.local", "source.git", "source.http", "source.ocilayout",
    "exec.meta.base", "exec.mount.bind", "exec.mount.cache", "exec.mount.secret", "exec.mount.ssh", "exec.secretenv",
    "file.base", "constraints", "platform", "meta.ignorecache", "meta.description", "meta.exportcache", "mergeop",
    "exporter.image.annotations", "exporter.image.attestations", "exporter.sourcedateepoch", "exporter.multiple",
)  # fmt: skip


def methods(parts: Parts, builder: Builder) -> Mapping[str, Method]:
    """Return what answers each call of a front end's clients."""
    control_ = _Control(parts, builder)
    bridge = _Bridge(parts.building, control_)
    return {
        f"{_CONTROL}Solve": Method(control.SolveRequest, control_.solve),
        f"{_CONTROL}Status": Method(control.StatusRequest, control_.status),
        f"{_CONTROL}ListWorkers": Method(Empty, control_.workers),
        f"{_CONTROL}Info": Method(Empty, control_.info),
        f"{_CONTROL}DiskUsage": Method(control.DiskUsageRequest, control_.disk_usage),
        f"{_CONTROL}Prune": Method(control.PruneRequest, control_.prune),
        f"{_CONTROL}ListenBuildHistory": Method(Empty, control_.history),
        f"{_BRIDGE}Ping": Method(Empty, bridge.ping),
        f"{_BRIDGE}Solve": Method(gateway.GatewaySolve, bridge.solve),
        f"{_BRIDGE}Evaluate": Method(gateway.EvaluateRequest, bridge.evaluate),
        f"{_BRIDGE}Inputs": Method(Empty, bridge.inputs),
        f"{_BRIDGE}ReadFile": Method(gateway.ReadFileRequest, bridge.read_file),
        f"{_BRIDGE}ReadDir": Method(gateway.ReadDirRequest, bridge.read_dir),
        f"{_BRIDGE}StatFile": Method(gateway.StatFileRequest, bridge.stat_file),
        f"{_BRIDGE}ResolveImageConfig": Method(gateway.ImageConfigRequest, bridge.image_config),
        f"{_BRIDGE}Return": Method(gateway.ReturnRequest, bridge.return_),
    }


class _Control:
    """Builds from their beginning to their end, and the cache."""

    def __init__(self, parts: Parts, builder: Builder) -> None:
        self._parts, self._builder = parts, builder
        self._building: Building = parts.building
        self._worker: WorkerRecord | None = None

    def solve(self, call: Served, asked: control.SolveRequest) -> control.SolveResponse:
        """Carry out a build, whose client solves its part by other calls meanwhile."""
        if not asked.ref:
            raise Invalid("a build without a ref")
        job = Job(asked, self._builder, self._building.sessions)
        if not self._building.jobs.add(asked.ref, job):
            raise Conflict(f"job ID exists: {asked.ref}")
        call.afterwards += (lambda: self._building.jobs.remove(asked.ref, late=True), job.close)
        call.when_lost(job.cancel)
        try:
            return control.SolveResponse(job.export(job.alone() if asked.frontend else job.wait()))
        finally:
            job.over()

    def status(self, call: Served, asked: control.StatusRequest) -> Iterator[control.StatusResponse]:
        """Tell what a build does, until its end."""
        return map(shown, self.job(asked.ref).feed.watch())

    def job(self, ref: str) -> Job:
        """Return a build that goes on, or is about to."""
        found = self._building.jobs.get(ref, _JOB_S)
        if found is None:
            raise NotFound(f"no such job {ref}")
        return found

    def workers(self, call: Served, asked: Empty) -> control.ListWorkersResponse:
        """Tell what builds."""
        return control.ListWorkersResponse([self.worker()])

    def worker(self) -> WorkerRecord:
        """Return what builds: this engine. Clients ask for its labels before they ask for several platforms."""
        self._worker = self._worker or self._found_worker()  # they ask several times over a connection
        return self._worker

    def _found_worker(self) -> WorkerRecord:
        labels = {
            f"{_WORKER}executor": "moby",
            f"{_WORKER}snapshotter": self._parts.images.storage,
            f"{_WORKER}hostname": platform.node(),
        }
        if gateway := self._host_gateway():
            labels[f"{_WORKER}moby.host-gateway-ip"] = gateway
        shown = [PbPlatform(each.architecture, each.os, each.variant) for each in workers.platforms()]
        return WorkerRecord(self._parts.place.engine or "moby", labels, shown, _version())

    def _host_gateway(self) -> str:
        """Return where containers find the host, for clients that write it in place of `host-gateway`."""
        pools = (pool for each in self._parts.networks.list() if each.predefined for pool in each.ipam)
        return next((str(each["Gateway"]) for each in pools if each.get("Gateway")), "")

    def info(self, call: Served, asked: Empty) -> control.InfoResponse:
        """Tell who answers."""
        return control.InfoResponse(_version())

    def disk_usage(self, call: Served, asked: control.DiskUsageRequest) -> control.DiskUsageResponse:
        """Tell what the cache takes."""
        found = usage.selected(self._builder.usage(), asked.filters)
        return control.DiskUsageResponse([usage.record(each) for each in found])

    def prune(self, call: Served, asked: control.PruneRequest) -> Iterator[control.UsageRecord]:
        """Remove what nobody needs of the cache, and tell what went."""
        return map(usage.record, self._builder.prune(usage.keep(asked)).entries)

    def history(self, call: Served, asked: Empty) -> Iterator[Any]:
        """Tell of no builds that are over: none are kept."""
        return iter(())


class _Bridge:
    """The client's part of a build, by calls that name the build."""

    def __init__(self, building: Building, control_: _Control) -> None:
        self._building, self._control = building, control_

    def _job(self, call: Served) -> Job:
        ref = call.metadata.get(_BUILD_ID, "")
        if not ref:
            raise Invalid("a call for no build")
        return self._control.job(ref)

    def ping(self, call: Served, asked: Empty) -> gateway.Pong:
        """Tell what this end can, once the build is there."""
        self._job(call)
        return gateway.Pong(
            [Capability(each, True) for each in _CAPABILITIES],
            [Capability(each, True) for each in _GRAPH_CAPABILITIES],
            [self._control.worker()],
        )

    def solve(self, call: Served, asked: gateway.GatewaySolve) -> gateway.GatewaySolved:
        """Solve what the client wants, and tell it by which ids it may ask for that."""
        job = self._job(call)
        _check_policies(asked.policies)
        if asked.definition is not None and asked.definition.operations:
            return gateway.GatewaySolved(job.adopt(asked.definition))
        call.when_lost(job.cancel)
        return gateway.GatewaySolved(job.solve(asked.frontend, asked.options, asked.inputs))

    def evaluate(self, call: Served, asked: gateway.EvaluateRequest) -> Empty:
        """Make sure that a file system is there: all are, once they are solved."""
        self._job(call).check(asked.ref)
        return Empty()

    def inputs(self, call: Served, asked: Empty) -> gateway.InputsResponse:
        """Return the graphs that came with the build."""
        return gateway.InputsResponse(dict(self._job(call).asked.frontend_inputs))

    def read_file(self, call: Served, asked: gateway.ReadFileRequest) -> gateway.FileData:
        """Return what is in a file of a result, or a part of it."""
        with self._job(call).files(asked.ref) as root:
            return gateway.FileData(reading.read(root, asked.path, asked.range))

    def read_dir(self, call: Served, asked: gateway.ReadDirRequest) -> gateway.ReadDirResponse:
        """Tell what is in a folder of a result."""
        with self._job(call).files(asked.ref) as root:
            return gateway.ReadDirResponse(reading.listed(root, asked.path, asked.pattern))

    def stat_file(self, call: Served, asked: gateway.StatFileRequest) -> gateway.StatFileResponse:
        """Tell what is at a path of a result."""
        with self._job(call).files(asked.ref) as root:
            return gateway.StatFileResponse(reading.described(root, asked.path))

    def image_config(self, call: Served, asked: gateway.ImageConfigRequest) -> gateway.ImageConfigResponse:
        """Tell how an image is to be run, without its layers."""
        job = self._job(call)
        _check_policies(asked.policies)
        if asked.resolver:
            raise Unsupported("configs are told of images in the engine and in image registries, not of OCI layouts")
        reference, pull = parse(asked.reference), requests.pulls(asked.mode)
        image = job.image(reference, requests.platform_of(asked.platform), pull=pull)
        same = [each for each in image.digests if (each.domain, each.path) == (reference.domain, reference.path)]
        digest = reference.digest or (same[0].digest if same else "")
        config = json.dumps(image.raw_config, separators=(",", ":")).encode()
        return gateway.ImageConfigResponse(str(digest), config, str(reference))

    def return_(self, call: Served, asked: gateway.ReturnRequest) -> Empty:
        """Take what the client makes of it all, which ends its part."""
        error = asked.error
        job = self._job(call)
        job.give_back(Fault(error.code, error.message, error.details) if error else asked.result or gateway.ResultOf())
        return Empty()


def _check_policies(policies: Iterable[control.Policy]) -> None:
    if any(each.rules for each in policies):
        raise Invalid("policies of sources are not followed here")


def _version() -> BuildkitVersion:
    return BuildkitVersion("moby-framework", f"v{_BUILDKIT}+moby-framework.{RELEASE}")
