"""What a container will see under a path: symbolic links are followed inside, never out to the host.

bubblewrap follows links in a mount's source and destination on the host's side of the wall, so that an image with
`/data -> /etc` could have it write to the host. It therefore gets only paths that were resolved here.
"""

import stat
from pathlib import Path, PurePosixPath

from attrs import frozen
from moby.errors import Invalid

__all__ = ["View"]

_LINKS = 40
"""As many as the kernel follows (path_resolution(7))."""


@frozen
class View:
    """A root file system with mounts over it, the last one on top."""

    rootfs: Path
    mounts: tuple[tuple[str, str], ...] = ()
    """Destination, resolved, and the host's path behind it; empty where the mount is new and has none."""

    def mounted(self, destination: str, source: str = "") -> "View":
        """Return the view with one more mount."""
        return View(self.rootfs, (*self.mounts, (destination, source)))

    def host(self, path: str) -> Path | None:
        """Return the host's path behind a resolved path; None where a mount covers it that has none."""
        for destination, source in reversed(self.mounts):
            if path == destination or path.startswith(destination.rstrip("/") + "/"):
                return Path(source, PurePosixPath(path).relative_to(destination)) if source else None
        return self.rootfs / path.lstrip("/")

    def resolve(self, path: str) -> str:
        """Return an absolute path without links; what isn't there stays as it is. Invalid for a loop of links."""
        done, rest, links = "/", [part for part in path.split("/") if part], 0
        while rest:
            part = rest.pop(0)
            if part in (".", ".."):
                done = str(PurePosixPath(done).parent) if part == ".." else done
                continue
            step = str(PurePosixPath(done, part))
            target = self._link(step)
            if target is None:
                done = step
                continue
            links += 1
            if links > _LINKS:
                raise Invalid(f"{path} goes round in links inside the root", hint="mend the image")
            done = "/" if target.startswith("/") else done
            rest = [each for each in target.split("/") if each] + rest
        return done

    def mode(self, path: str) -> int | None:
        """Return the mode of what a path leads to; None where nothing is there or nothing can be known."""
        resolved = self.resolve(path)
        host = self.host(resolved)
        if host is None and (resolved, "") in self.mounts:
            return stat.S_IFDIR | 0o755
        try:
            return host.lstat().st_mode if host else None
        except (FileNotFoundError, NotADirectoryError):
            return None

    def find(self, program: str, *, search: str, cwd: str) -> tuple[str, int | None]:
        """Return the path and mode of a program as execvp(3) looks for it; mode None where it isn't there."""
        if "/" in program:
            path = str(PurePosixPath(cwd, program))
            return path, self.mode(path)
        best: tuple[str, int | None] = (program, None)
        for folder in search.split(":"):
            path = str(PurePosixPath(cwd, folder, program))
            mode = self.mode(path)
            if mode is not None and stat.S_ISREG(mode):
                if mode & 0o111:
                    return path, mode
                best = (path, mode)
        return best

    def _link(self, path: str) -> str | None:
        host = self.host(path)
        try:
            return str(host.readlink()) if host and host.is_symlink() else None
        except OSError:
            return None
