"""What an engine of a release keeps, for later ones to read: `python -m clients.releasing` writes down this one's.

An archive holds the folder `state` of an engine as it is once the machine has lost its power: containers that had
ended, had run and had never been started, their logs, what they changed, images, volumes, networks and a build's cache.
Later releases keep the archives of earlier ones, and are to read each.
"""

import tempfile
from importlib import metadata
from pathlib import Path

from clients.engine import ROOT, Moby, opened
from peers.box import archive

from moby import distribution

RELEASES = Path(__file__).with_name("releases")
_IMAGE = "/var/lib/peers/tree"
# Programs are the machine's own, so that an archive holds none.
_PROGRAMS = "-v /usr:/usr:ro"
LINES = (
    f"mkdir -p {_IMAGE}/etc {_IMAGE}/usr; for each in bin sbin lib lib64; do ln -s usr/$each {_IMAGE}/$each; done",
    f"echo from the image >{_IMAGE}/etc/told; echo root:x:0:0:root:/:/bin/sh >{_IMAGE}/etc/passwd",
    f"tar -cC {_IMAGE} . | docker import -c 'ENV GIVEN=once' -c 'LABEL kind=kept' - kept:1",
    "docker tag kept:1 example.org/kept:2",
    "docker volume create --label kind=kept things",
    "docker network create --subnet 10.77.0.0/24 --label kind=kept street",
    (
        f"docker run --name ended --network none --label kind=kept --memory 64m {_PROGRAMS} -v things:/things kept:1"
        " sh -c 'echo said; echo more >&2; echo new >/etc/made; rm -f /etc/passwd; echo thing >>/things/one; exit 3'"
        " || :"
    ),
    (
        f"docker run -d --name again --restart always --network street --network-alias lamp {_PROGRAMS} kept:1"
        " sh -c 'echo up; while :; do sleep 0.1; done'"
    ),
    f"docker create --name made --network none --log-driver local --health-cmd true {_PROGRAMS} kept:1 echo late",
    'docker commit -c \'CMD ["cat", "/etc/made"]\' ended changed:1',
    "printf 'FROM kept:1\\nENV BUILT=yes\\nCOPY told /etc/\\n' >/var/lib/peers/tree/Dockerfile",
    f"echo from the build >{_IMAGE}/told; DOCKER_BUILDKIT=0 docker build -q -t built:1 {_IMAGE}",
    "until docker logs again | grep -q up; do sleep 0.1; done",
)
"""What made it, as lines for sh; container `again` runs on, as it does where the power goes."""


def main():
    """Write down the state of an engine of this release."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        distribution.assemble("docker", folder)
        image = archive(folder / "image.tar", folder / "rootfs")
        pyz = folder / "docker" / "docker.pyz"
        with opened(Moby, folder / "engine", image, distribution=pyz) as engine:
            engine.remove_all()
            engine("rmi", "localhost/box:latest")
            for line in LINES:
                engine.sandbox.run("sh", "-c", line)
            engine.sandbox.run("kill", "-9", str(engine.pid()))
            packed = f"tar --xattrs --xattrs-include='*' -C {ROOT} -czf /var/lib/peers/state.tar.gz state"
            engine.sandbox.run("sh", "-c", packed)
            data = engine.sandbox.seen("/var/lib/peers/state.tar.gz").read_bytes()
    (RELEASES / f"{metadata.version('moby-framework')}.tar.gz").write_bytes(data)


if __name__ == "__main__":
    main()
