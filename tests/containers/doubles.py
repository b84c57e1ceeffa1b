"""A stand-in for a store of images, which has a suite of its own: one image, of a folder, made in no time."""

import shutil

from moby.contracts.images import Image, ImageConfig, RootSizes
from moby.contracts.types import Digest, Mount, Platform
from moby.errors import Conflict, NotFound

ID = Digest("sha256", "ab" * 32)


class TreeImages:
    """One image, `box`, whose root is a folder; each container has an overlay on it."""

    def __init__(self, lower, folder, config=None):
        self.lower = lower
        self.folder = folder
        self.config = config or ImageConfig(command=("sh",), environment=("PATH=/bin", "IMAGE=yes"))
        self.platform = Platform.host()

    def get(self, name):
        if name not in ("box", "box:latest", str(ID)):
            raise NotFound(f"No such image: {name}")
        return Image(ID, ID, (), self.config, self.platform, (), 0)

    def prepare(self, container_id, image, *, skeleton=()):
        folder = self.folder / container_id
        if folder.exists():
            raise Conflict("there is one")
        for each in ("upper", "work"):
            (folder / each).mkdir(parents=True)
        return self.mounts(container_id)

    def mounts(self, container_id):
        folder = self.folder / container_id
        if not folder.exists():
            raise NotFound(f"nothing was prepared for {container_id}")
        options = (f"lowerdir={self.lower}", f"upperdir={folder}/upper", f"workdir={folder}/work")
        return (Mount("/", "overlay", "overlay", options),)

    def release(self, container_id):
        shutil.rmtree(self.folder / container_id, ignore_errors=True)

    def prepared(self):
        return {each.name: ID for each in self.folder.iterdir()} if self.folder.exists() else {}

    def sizes(self, container_id):
        return RootSizes(1, 2)
