"""The engine as a package of Linux distributions: installed in a sandbox, and upgraded under running containers."""

import shutil
import zipfile
from pathlib import Path

from attrs import define
from peers.engines import Docker

from moby.contracts.packager import Artifact, Entry, Given, Source

SOCKET = "/run/docker.sock"
PROGRAM = "/usr/bin/moby-docker"
FOLDER = "/run/packages"
# All that is installed lies in memory: the sandbox's /usr is read-only, and an overlay can't lie on its /var.
WRITABLE = f"""
set -e
mkdir -p {FOLDER}/upper {FOLDER}/work {FOLDER}/moby /var/lib/moby
mount -t overlay -o lowerdir=/usr,upperdir={FOLDER}/upper,workdir={FOLDER}/work overlay /usr
mount --bind {FOLDER}/moby /var/lib/moby
"""


def made(folder, pyz, packagers):
    """Make packages, by what each file is called, of the distribution that others start too; return their folder."""
    with zipfile.ZipFile(pyz) as archive:
        read = {name: archive.read(name) for name in sorted(archive.namelist())}
    entries = tuple(Entry(name, data, "moby") for name, data in read.items() if not name.endswith(".pyc"))
    given = Given(pyz.parent, Artifact((Path(pyz.name),), {"moby": pyz.stat().st_size}))
    for name, packager in packagers.items():
        (file,) = packager.build(Source("docker", entries, given=given), folder).files
        (folder / file).rename(folder / name)
    return folder


@define
class Packaged(Docker):
    """The engine that a package installed, serving; systemd, which would start it, doesn't run in a sandbox.

    How one is installed, or upgraded, by its path, a subclass says.
    """

    name = "moby"
    packages: Path = Path()

    def open(self, image):
        self.sandbox.run("mkdir", "-p", FOLDER)
        for each in self.packages.iterdir():
            shutil.copy(each, self.sandbox.seen(f"{FOLDER}/{each.name}"))
        self.sandbox.run("sh", "-c", WRITABLE)
        self.install(f"{FOLDER}/{min(each.name for each in self.packages.iterdir())}")
        super().open(image)

    def daemon(self):
        return [PROGRAM, "--config", "/etc/moby/docker.toml", "serve", "--host", f"unix://{SOCKET}"]

    def again(self):
        self.sandbox.run("kill", str(self.sandbox.pid(" serve --host ")))
        self._daemon.wait(60)
        self._begin()

    def upgrade(self, name):
        """Upgrade it, and see that a container goes on, as do the changes of its configuration."""
        container = self.up()
        pid = self.inspect(container, ".State.Pid")
        self.sandbox.run("sh", "-c", "echo '# mine' >> /etc/moby/docker.toml")
        self.install(f"{FOLDER}/{name}")
        assert "# mine" in self.sandbox.run("cat", "/etc/moby/docker.toml").stdout
        assert self.inspect(container, ".State.Pid") == pid  # by the engine that went on
        self.again()
        assert self.inspect(container, ".State.Pid") == pid  # by the new one
        assert self.out("exec", container, "echo", "still there") == "still there"
        assert self.inspect(container, ".RestartCount") == 0

    def check_removed(self):
        """See that nothing of it runs, and that what it kept is there still."""
        self._daemon.wait(60)
        running = self.sandbox.processes().values()
        assert not [words for words in running if "moby" in words or "trap 'exit 3'" in words]
        assert not self.sandbox.seen(PROGRAM).exists()
        assert self.sandbox.seen("/var/lib/moby/docker").exists()
