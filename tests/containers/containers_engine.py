"""An engine of real parts around the service, and what tests of it do again and again."""

import os
import time
from contextlib import ExitStack, suppress

from doubles import TreeImages
from moby_containers.engine.service import Service
from moby_content.local.store import Store as Content
from moby_discovery.none.nobody import Nobody
from moby_events.ring.ring import Ring
from moby_image_registry.folder.layouts import Layouts
from moby_images.store.parts import Parts as StoreParts
from moby_images.store.service import Store as ImageStore
from moby_ipam.default.plugin import Config as IpamConfig
from moby_ipam.default.plugin import make as make_ipam
from moby_log.json_file.driver import JsonFile
from moby_log.none.driver import Nothing
from moby_metadata.sqlite.store import Store
from moby_network_driver.host.driver import HostNetwork
from moby_network_driver.none.driver import NoNetwork
from moby_networks.registry.plugin import Config as NetworksConfig
from moby_networks.registry.plugin import make as make_networks
from moby_runtime.native.runtime import Native
from moby_snapshotter.overlay.snapshots import Overlay
from moby_supervisor.foreground.tasks import Foreground
from moby_supervisor.local.local import Local
from moby_volume.local.driver import Local as LocalVolumes
from moby_volumes.registry.registry import Registry

from moby.component import Arity, facts_of
from moby.contracts.ambient import Place
from moby.contracts.containers import Condition, ContainerConfig
from moby.contracts.images import ImageConfig
from moby.engine import start
from moby.errors import Conflict, NotFound
from moby.oci import layer
from moby.oci.pack import Packing
from moby.oci.reference import parse
from moby.oci.unpack import Limits
from moby.placement import placed
from moby.plan import Binding, Instance, Plan
from moby.served.launching import Launcher
from moby.surroundings import Roots, Surroundings
from moby.testing.boxes import read_all, readable
from moby.testing.containers import close, eventually
from moby.testing.holding import SameProcess

KEY = "supervisor/local"


def _plan():
    import moby_log.json_file.plugin as json_file
    import moby_log.none.plugin as nothing
    import moby_runtime.native.plugin as native
    import moby_supervisor.local.plugin as local

    def instance(plugin, name, **values):
        component = next(each for each in plugin.moby_components() if each.name == name)
        facts = facts_of(component, distribution="moby-framework 0", module=plugin.__name__)
        return Instance(facts.kind, name, facts, **values)

    bindings = {
        "runtimes": Binding(Arity.EACH, ("runtime/native",)),
        "logs": Binding(Arity.EACH, ("log-driver/json-file", "log-driver/none")),
    }
    below = (instance(json_file, "json-file"), instance(nothing, "none"), instance(native, "native"))
    return placed(Plan("containers", (*below, instance(local, "local", bindings=bindings, served=True))))


class Clock:
    now_ns = staticmethod(time.time_ns)
    monotonic_ns = staticmethod(time.monotonic_ns)


class Lines:
    def __init__(self):
        self.lines = []

    def _take(self, message, **fields):
        self.lines.append((message, fields))

    debug = info = warning = error = _take


def place(root, name):
    found = Place(root / "state" / name, root / "run" / name, root / "cache" / name, "containers-suite")
    for each in (found.state, found.run, found.cache):
        each.mkdir(parents=True, exist_ok=True)
    return found


class Engine:
    """Its supervisor is `local`, in this process, unless told otherwise; `restart` is what a new engine finds."""

    def __init__(self, root, rootfs, supervisor="local", *, store=False, drivers=None, discovery=None):
        self.root, self.kind, self.rootfs, self.store = root, supervisor, rootfs, store
        self.network_drivers, self.discovery = drivers or {}, discovery or Nobody()
        self.log, self.clock = Lines(), Clock()
        self.lasts = True
        self.images = TreeImages(rootfs, place(root, "images").state)
        self.last = ""

    def __enter__(self):
        self.below = ExitStack()
        self.metadata = self.below.enter_context(Store(place(self.root, "metadata").state / "db"))
        self.supervisor = self._served() if self.kind == "served" else self.below.enter_context(self._supervisor())
        self._open()
        return self

    def _served(self):
        """Start it in a process of its own, under a keeper; both stay when this process is killed."""
        around = Surroundings(Roots.under(self.root / "engine", "containers-suite"), linger_s=0.2)
        engine = self.below.enter_context(start(_plan(), around=around))
        self.launcher = Launcher(around.roots.run, linger_s=0.2)
        return engine.instances[KEY]

    def end_served(self):
        """End what is in other processes."""
        self.supervisor.reclaim()
        self.launcher.end()

    def _supervisor(self):
        runtimes = {"native": Native(place(self.root, "runtime"))}
        where = place(self.root, "supervisor")
        if self.kind == "foreground":
            return Foreground(runtimes, where.run, self.clock, self.log)
        keeper = SameProcess()
        self.below.callback(keeper.close)
        return Local(runtimes, {"json-file": JsonFile(), "none": Nothing()}, keeper, where, self.clock, self.log)

    def _open(self):
        self.above = ExitStack()
        self.events = Ring(self.clock)
        volumes = place(self.root, "volumes")
        drivers = {"local": LocalVolumes(volumes.state / "volumes", volumes.state / "aside", volumes.run / "users")}
        run = place(self.root, "registry").run
        self.volumes = self.above.enter_context(Registry(drivers, self.metadata, self.events, self.clock, run))
        self.networks = self.above.enter_context(self._networks())
        if self.store:
            self.images = self._image_store()
        self.containers = self.service(self.above)

    def _networks(self):
        return make_networks(
            NetworksConfig(),
            drivers={"none": NoNetwork(), "host": HostNetwork(), **self.network_drivers},
            ipams={"default": make_ipam(IpamConfig(), metadata=self.metadata)},
            discovery=self.discovery,
            metadata=self.metadata,
            events=self.events,
            place=place(self.root, "networks"),
            clock=self.clock,
            log=self.log,
        )

    def _image_store(self):
        limits = Limits()
        content = Content(place(self.root, "content").state)
        snapshots = Overlay(place(self.root, "snapshots").state, self.metadata, limits)
        for each in (content, snapshots):
            if hasattr(each, "__enter__"):
                self.above.enter_context(each)
        where = place(self.root, "store")
        parts = StoreParts(content, snapshots, self.metadata, self.events, self.clock, where, limits)
        return ImageStore(parts, Layouts(where.state / "registry"))

    def add_image(self):
        """Make the image of the programs anew, in a store that is a whole one."""
        fd = os.open(self.rootfs, os.O_RDONLY | os.O_DIRECTORY)
        try:
            config = ImageConfig(command=("sh",), environment=("PATH=/bin", "IMAGE=yes"))
            self.images.add(parse("box"), [layer.write(Packing(fd).entries())], config)
        finally:
            os.close(fd)

    def service(self, stack):
        """Make the service anew, with the parts as they are."""
        made = stack.enter_context(
            Service(
                images=self.images,
                supervisor=self.supervisor,
                volumes=self.volumes,
                networks=self.networks,
                events=self.events,
                metadata=self.metadata,
                place=place(self.root, "containers"),
                clock=self.clock,
                log=self.log,
            )
        )
        if self.lasts:
            made.go_on()
        return made

    def restart(self, meanwhile=lambda: None, *, lasts=True):
        """End the service and begin another, one for a command where it doesn't last; the supervisor lives on."""
        self.above.close()
        self.lasts = lasts
        meanwhile()
        self._open()

    def __exit__(self, *error):
        for each in self.containers.list():
            with suppress(NotFound, Conflict):
                self.containers.remove(each.id, force=True, volumes=True)
        eventually(lambda: not self.containers.list(), "all containers go")
        self.above.close()
        for each in self.supervisor.list():  # what the service leaves for a next one, which there isn't
            with suppress(NotFound):
                self.supervisor.delete(each.id, force=True)
        if self.kind == "served":
            self.end_served()
        self.below.close()

    def actions(self, *types):
        """Return the actions of all events of containers so far."""
        return [each.action for each in self.events.past(0, 2**62) if each.type in (types or ("container",))]

    def create(self, script, **config):
        return self.containers.create(ContainerConfig("box", command=("sh", "-c", script), **config)).id

    def run(self, script, **config):
        """Run a script to its end, and return its exit code and what it wrote."""
        return self.finish(self.create(script, **config))

    def finish(self, name):
        streams = self.containers.attach(name)
        waiter = self.containers.wait(name, Condition.NEXT_EXIT)
        try:
            self.containers.start(name)
            text = read_all(streams.stdout) + (read_all(streams.stderr) if streams.stderr >= 0 else "")
            assert readable(waiter.fileno())
            return waiter.result().exit_code, text
        finally:
            waiter.close()
            close(streams)
            self.last = name
