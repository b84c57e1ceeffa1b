"""Images of an engine that builders build for, on real parts."""

import os
from contextlib import ExitStack

from moby_builder.dockerfile.plugin import Config as BuilderConfig
from moby_builder.dockerfile.plugin import make as make_builder
from moby_content.local.store import Store as Content
from moby_discovery.none.nobody import Nobody
from moby_events.ring.ring import Ring
from moby_image_registry.folder.layouts import Layouts
from moby_images.store.parts import Parts as StoreParts
from moby_images.store.service import Store as ImageStore
from moby_ipam.default.plugin import Config as IpamConfig
from moby_ipam.default.plugin import make as make_ipam
from moby_metadata.sqlite.store import Store
from moby_network_driver.host.driver import HostNetwork
from moby_network_driver.none.driver import NoNetwork
from moby_networks.registry.plugin import Config as NetworksConfig
from moby_networks.registry.plugin import make as make_networks
from moby_runtime.native.runtime import Native
from moby_snapshotter.overlay.snapshots import Overlay
from moby_supervisor.local.local import Local
from runs import Clock, Lines, place

from moby.oci import layer
from moby.oci.pack import Packing
from moby.oci.reference import parse
from moby.oci.unpack import Limits
from moby.testing.bundles import PROGRAMS, make_rootfs
from moby.testing.holding import SameProcess
from moby.testing.mortal import Mortal


def box_root(folder):
    """Make the root of the image `box`."""
    root = make_rootfs(
        folder / "rootfs",
        (*PROGRAMS, "id", "ls", "cat", "rm", "stat", "mkdir", "touch", "mount", "hostname", "sleep", "cp"),
    )
    (root / "etc/group").write_text("root:x:0:\nusers:x:100:ann\n")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000:Ann:/home/ann:/bin/sh\n")
    (root / "tmp").chmod(0o1777)
    return root


class Pantry:
    """Content, snapshots and images, with `box` among them."""

    def __init__(self, root, rootfs):
        self.root, self.rootfs, self.log = root, rootfs, Lines()

    def __enter__(self):
        self.stack = ExitStack()
        enter = self.stack.enter_context
        self.metadata = enter(Store(place(self.root, "metadata").state / "db"))
        self.content = Content(place(self.root, "content").state)
        self.snapshotter = enter(Overlay(place(self.root, "snapshots").state, self.metadata))
        self.events = Ring(Clock())
        where = place(self.root, "store")
        parts = StoreParts(
            self.content, self.snapshotter, self.metadata, self.events, Clock(), where, Limits()
        )  # fmt: skip
        self.registry = Layouts(where.state / "registry")
        self.images = ImageStore(parts, self.registry)
        fd = os.open(self.rootfs, os.O_RDONLY | os.O_DIRECTORY)
        try:
            tar = layer.write(Packing(fd).entries())
            self.images.import_(tar, parse("box"), changes=("ENV PATH=/bin", 'CMD ["sh"]'))
        finally:
            os.close(fd)
        return self

    def __exit__(self, *_):
        self.stack.close()


class Engine(Pantry):
    """The same with a supervisor and networks, and the builder `dockerfile` in it."""

    def __enter__(self):
        super().__enter__()
        enter = self.stack.enter_context
        keeper = SameProcess()
        self.stack.callback(keeper.close)
        runtimes = {"native": Mortal(Native(place(self.root, "runtime")))}
        where = place(self.root, "supervisor")
        self.supervisor = enter(Local(runtimes, {}, keeper, where, Clock(), self.log))
        self.networks = enter(
            make_networks(
                NetworksConfig(),
                drivers={"none": NoNetwork(), "host": HostNetwork()},
                ipams={"default": make_ipam(IpamConfig(), metadata=self.metadata)},
                discovery=Nobody(),
                metadata=self.metadata,
                events=self.events,
                place=place(self.root, "networks"),
                clock=Clock(),
                log=self.log,
            )
        )
        self.builder = enter(self.new_builder())
        return self

    def new_builder(self):
        return make_builder(
            BuilderConfig(),
            images=self.images,
            content=self.content,
            snapshotter=self.snapshotter,
            supervisor=self.supervisor,
            networks=self.networks,
            image_registry=self.registry,
            metadata=self.metadata,
            place=place(self.root, "builder"),
            clock=Clock(),
            log=self.log,
        )
