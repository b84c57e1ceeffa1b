"""Debian's docker-registry, on the loopback, with its data in a temporary folder."""

import contextlib
import json
import socket
import subprocess
import time

from peers.binaries import environment, need

PATIENCE_S = 60
PASSWORDS = "someone:$2y$05$CfhxLTktfMfnaQAjO9/br.1bxO/W6OXWR93QiM//Iycx06W4tpSj6\n"
"""`secret`, by bcrypt, which is all that it takes."""


def free_port():
    """Return a port that nobody listens on now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextlib.contextmanager
def registry(folder, *, passwords=False, tls=None):
    """Run one, and lend its HOST:PORT; `tls` is a certificate's and a key's path."""
    program = need("docker-registry", "registry")
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "version": 0.1, "log": {"level": "error"}, "http": {"secret": "shared"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}},
    }  # fmt: skip
    if tls:
        config["http"]["tls"] = {"certificate": str(tls[0]), "key": str(tls[1])}
    if passwords:
        (folder / "passwords").write_text(PASSWORDS)
        config["auth"] = {"htpasswd": {"realm": "ours", "path": str(folder / "passwords")}}
    host, process = _started(program, folder, config)
    try:
        yield host
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def _started(program, folder, config):
    """Start one at a port that is free, or where somebody was faster there, at the next one."""
    while True:
        port = free_port()
        config["http"]["addr"] = f"127.0.0.1:{port}"
        (folder / "config.yml").write_text(json.dumps(config))
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [program, "serve", str(folder / "config.yml")], env=environment(), stdout=log, stderr=log
            )
        if _listens(port, process, folder / "log"):
            return f"127.0.0.1:{port}", process


def _listens(port, process, log):
    """Wait until it does; False where somebody else has its port."""
    limit = time.monotonic() + PATIENCE_S
    while process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        assert time.monotonic() < limit, log.read_text()
        time.sleep(0.02)
    assert "address already in use" in log.read_text(), log.read_text()
    return False
