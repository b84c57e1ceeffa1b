"""What programs of others say that they are: `runc version 1.1.15`, and the commit that they were built of."""

import errno
import re
import subprocess

from moby.host import programs

__all__ = ["asked", "said_of", "versions_in"]

_NAMED = re.compile(r"^(\S+) version:? (\S+)", re.MULTILINE)
_COMMIT = re.compile(r"^commit: *(\S+)", re.MULTILINE)
_PATIENCE_S = 30.0


def asked(path: str, patience_s: float = _PATIENCE_S) -> "subprocess.CompletedProcess[str]":
    """Run a program with --version, in the host's surroundings; OSError where it can't be run, or takes too long."""
    try:
        with programs.surroundings() as environment:
            return subprocess.run(
                [path, "--version"], capture_output=True, text=True, errors="replace", timeout=patience_s, check=False,
                stdin=subprocess.DEVNULL, env=environment,
            )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(errno.ETIMEDOUT, f"{path} --version takes too long") from error


def said_of(path: str) -> str:
    """Return what a program prints with --version; OSError as `asked`, and where it fails."""
    done = asked(path)
    if done.returncode:
        told = (done.stderr or done.stdout).strip()[:300]
        raise OSError(errno.EIO, f"{path} --version fails: {told or f'exit code {done.returncode}'}")
    return done.stdout


def versions_in(said: str) -> dict[str, tuple[str, str]]:
    """Return by a program's name the version, and the commit or ``, that it says it has; nothing where it doesn't."""
    named, commit = _NAMED.search(said), _COMMIT.search(said)
    return {named[1]: (named[2], commit[1] if commit else "")} if named else {}
