"""Image registries beside an engine, in its sandbox: open, with passwords, with TLS, and one that misbehaves."""

import json
import subprocess
import sys
from pathlib import Path

from attrs import define, field
from image_registry.services.real import PASSWORDS
from peers.binaries import need
from peers.sandbox import TEMPORARY, until

OPEN, GUARDED, SECURE, FAULTY = 5000, 5001, 5002, 5003
TESTS = Path(__file__).parents[1]


@define
class Around:
    """An engine, and image registries by their ports."""

    engine: object
    log: Path
    started: list[subprocess.Popen] = field(factory=list)

    @property
    def sandbox(self):
        return self.engine.sandbox

    def docker(self, *args, **options):
        """Run the docker command, and return what it came to."""
        return self.sandbox.run("docker", *args, check=False, **options)

    def said(self, *args):
        """Return what it prints, which ends well."""
        done = self.docker(*args)
        assert done.returncode == 0, done.stderr
        return done.stdout.rstrip("\n")

    def data(self, port=OPEN):
        """Return where an image registry keeps its data, as seen from outside."""
        return self.sandbox.seen(TEMPORARY / f"registry{port}")

    def registry(self, port, **more):
        """Start Debian's docker-registry inside."""
        need("docker-registry", "registry")
        config = {
            "version": 0.1, "log": {"level": "error"}, "http": {"addr": f"127.0.0.1:{port}", "secret": "s"},
            "storage": {"filesystem": {"rootdirectory": str(TEMPORARY / f"registry{port}")}},
        }  # fmt: skip
        if more.get("passwords"):
            self.put("passwords", PASSWORDS)
            config["auth"] = {"htpasswd": {"realm": "ours", "path": str(TEMPORARY / "passwords")}}
        if more.get("tls"):
            config["http"]["tls"] = dict(zip(("certificate", "key"), map(str, more["tls"]), strict=True))
        self.put(f"{port}.json", json.dumps(config))
        self.start(port, "docker-registry", "serve", str(TEMPORARY / f"{port}.json"))

    def faulty(self):
        """Start the one that misbehaves, before the open one."""
        self.faults()
        command = [sys.executable, "-m", "image_registry.services.held", f"127.0.0.1:{OPEN}", str(FAULTY)]
        files = [str(TEMPORARY / "faults"), str(TEMPORARY / "seen")]
        self.start(FAULTY, *command, *files, env={"PYTHONPATH": str(TESTS)})

    def start(self, port, *command, env=None):
        self.started.append(self.sandbox.start(*command, log=self.log, env=env))
        until(lambda: self.sandbox.run("sh", "-c", _LISTENS.format(port), check=False).returncode == 0, f"port {port}")

    def put(self, name, text):
        """Write a file inside, and return its path there."""
        self.sandbox.seen(TEMPORARY / name).write_text(text)
        return TEMPORARY / name

    def faults(self, **faults):
        """Say what the next requests are to meet; what isn't named is well again."""
        calm = {"cuts": 0, "cut_after": None, "flip": False, "token": "", "statuses": 0, "stall_s": 0, "hold_s": 0}
        self.put("seen", "")
        self.put("faults", json.dumps(calm | faults))

    def seen(self):
        """Return the requests since: method, path, range."""
        return [line.split() for line in self.sandbox.seen(TEMPORARY / "seen").read_text().splitlines()]

    def close(self):
        for each in self.started:
            each.kill()
            each.wait()


_LISTENS = "bash -c 'exec 3<>/dev/tcp/127.0.0.1/{0}'"
