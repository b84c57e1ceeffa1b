"""Checkouts of git repositories: a commit is what they stand for, and its objects are kept for the next time."""

import base64
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from attrs import frozen

from moby.contracts.builder import BuildFailed, Session
from moby.errors import NotFound
from moby.host.locks import locked
from moby_builder.dockerfile.effects.agents import Agent
from moby_builder.dockerfile.effects.copying import Copying, How
from moby_builder.dockerfile.effects.files import opened
from moby_builder.dockerfile.effects.git_command import Git
from moby_builder.dockerfile.effects.matches import matches
from moby_builder.dockerfile.effects.repositories import note
from moby_builder.dockerfile.effects.sources import Fetched, Temporary
from moby_builder.dockerfile.effects.workspace import Draft
from moby_builder.dockerfile.operations import GitSource
from moby_builder.dockerfile.solver.effects import Tree, Watch

__all__ = ["GitSources"]

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SCP = re.compile(r"[\w.-]+@[\w.-]+:")
_KEPT = "refs/builder/"
"""Before the names of what was fetched, in the repositories that are kept."""


@frozen
class GitSources:
    """Checks repositories out. Thread-safe, also against other processes on the same folders."""

    folder: Path
    """Where objects are kept, a repository for each remote."""
    scratch: Path
    """For what is gone at the end of a build."""

    def fetch(self, source: GitSource, session: Session, temporary: Temporary, watch: Watch) -> Fetched:
        """Look up the commit; BuildFailed where there is none, HostUnfit for a host without git."""
        url = _url(source.url)
        with self._git(url, session, watch) as git:
            commit = self._commit(git, url, source)
        if source.checksum and not commit.startswith(source.checksum):
            raise BuildFailed(f"expected checksum to match {source.checksum}, got {commit}")
        kept = f" {_shown(url)}" if source.keep_git else ""
        return Fetched(
            f"git:{commit} {source.folder}{kept}", partial(self._bring, source, url, commit, session, temporary)
        )

    def _commit(self, git: Git, url: str, source: GitSource) -> str:
        wanted = source.reference or "HEAD"
        if _COMMIT.fullmatch(wanted):
            return wanted
        if wanted.startswith("-"):
            raise BuildFailed(f"invalid git reference {wanted}")
        lines = git("ls-remote", "--", url, wanted, f"{wanted}^{{}}").splitlines()
        found = {name: commit for commit, _, name in (line.partition("\t") for line in lines)}
        names = (wanted, f"refs/tags/{wanted}", f"refs/heads/{wanted}", f"refs/{wanted}")
        for name in names:
            commit = found.get(f"{name}^{{}}") or found.get(name)
            if commit is not None and _COMMIT.fullmatch(commit):
                return commit
        raise BuildFailed(f"repository does not contain ref {source.reference or 'HEAD'}")

    def _bring(
        self, source: GitSource, url: str, commit: str, session: Session, temporary: Temporary, watch: Watch
    ) -> Tree:
        with self._git(url, session, watch) as git, self._kept(url, git) as kept:
            self._get(git, kept, url, source, commit)
            if not source.folder:
                return temporary.make(lambda draft: _check_out(git, draft.path, kept, url, commit, source))
            with self._place() as place:
                _check_out(git, place, kept, url, commit, source)
                return temporary.make(lambda draft: _take_folder(place, draft, source, watch))

    def _get(self, git: Git, kept: Path, url: str, source: GitSource, commit: str) -> None:
        """See to it that a commit is here: by its name, else by itself, else with all that the remote has."""
        name = f"{_KEPT}{commit}"
        if self._has(git, kept, commit):
            return
        wanted = commit if _COMMIT.fullmatch(source.reference) else source.reference or "HEAD"
        for each in dict.fromkeys((wanted, commit)):
            git("fetch", "--depth=1", "--no-tags", "--force", "--", url, f"+{each}:{name}", folder=kept, check=False)
            if self._has(git, kept, commit):
                git("update-ref", name, commit, folder=kept)
                return
        unshallow = ("--unshallow",) if (kept / "shallow").exists() else ()
        git(
            "fetch", *unshallow, "--force", "--tags", "--", url, f"+refs/heads/*:{_KEPT}heads/*", folder=kept
        )  # fmt: skip
        if not self._has(git, kept, commit):
            raise BuildFailed(f"repository does not contain ref {commit}")

    def _has(self, git: Git, kept: Path, commit: str) -> bool:
        found = git("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}", folder=kept, check=False)
        return found.strip() == commit

    # Where git works

    @contextmanager
    def _git(self, url: str, session: Session, watch: Watch) -> Iterator[Git]:
        """Lend git with what the session lends for a remote."""
        with ExitStack() as stack, self._place() as home:
            agent = ""
            if _is_ssh(url):
                agent = str(home / "agent")
                stack.enter_context(Agent(Path(agent), lambda: session.ssh("default")))
            yield Git(watch, home, _authorization(url, session), agent)

    @contextmanager
    def _place(self) -> Iterator[Path]:
        self.scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(dir=self.scratch, prefix="git-"))
        try:
            place.chmod(0o755)
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)

    @contextmanager
    def _kept(self, url: str, git: Git) -> Iterator[Path]:
        """Lend the repository that objects of a remote are kept in, to one at a time."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = hashlib.sha256(url.encode()).hexdigest()[:32]
        with locked(self.folder / f"{name}.lock"):
            path = self.folder / name
            if not (path / "HEAD").exists():
                shutil.rmtree(path, ignore_errors=True)
                git("init", "--bare", "--quiet", "--template=", str(path))
            note(path, url)
            yield path


def _check_out(git: Git, into: Path, kept: Path, url: str, commit: str, source: GitSource) -> None:
    """Check a commit out, with its submodules."""
    git("init", "--quiet", "--template=", str(into))
    if source.keep_git:
        git("fetch", "--quiet", "--no-tags", str(kept), commit, folder=into, local=True)
    else:
        (into / ".git/objects/info").mkdir(exist_ok=True)
        (into / ".git/objects/info/alternates").write_text(f"{kept}/objects\n", encoding="utf-8")
        with suppress(FileNotFoundError):
            shutil.copy(kept / "shallow", into / ".git/shallow")
    git("remote", "add", "origin", url, folder=into)
    git("checkout", "--quiet", "--detach", commit, folder=into)
    if (into / ".gitmodules").is_file() and not (into / ".gitmodules").is_symlink():
        git("submodule", "update", "--init", "--recursive", "--depth=1", folder=into)
    if source.keep_git:
        git("remote", "set-url", "origin", _shown(url), folder=into)
    else:
        for above, folders, files in os.walk(into):
            if ".git" in folders:
                shutil.rmtree(Path(above) / ".git")
                folders.remove(".git")
            if ".git" in files:
                (Path(above) / ".git").unlink()


def _take_folder(place: Path, draft: Draft, source: GitSource, watch: Watch) -> None:
    """Put what is in a folder of a checkout into a snapshot."""
    with opened(place) as root, opened(draft.path) as target:
        found = next(matches(root, _literal(source.folder)), None)
        if found is None or not Path(place, found.path.lstrip("/")).is_dir():
            raise BuildFailed(f"subdir {source.folder} of {source.url} is no folder")
        Copying(root, target, How(), cancel=watch.cancel).copy(found, "/")


def _literal(path: str) -> str:
    return "".join(f"[{each}]" if each in "*?[" else each for each in path)


def _url(url: str) -> str:
    """Return a remote as git takes it; BuildFailed for one that could be an option or a folder of this host's."""
    if "://" not in url and not _SCP.match(url):
        url = f"https://{url}"
    if url.startswith("-") or urlsplit(url).scheme.lower() not in ("http", "https", "ssh", "git", ""):
        raise BuildFailed(f"{url}: only http, https, ssh and git are fetched")
    return url


def _shown(url: str) -> str:
    """Return a remote without what may be secret in it."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if parts.password else url


def _is_ssh(url: str) -> bool:
    return url.startswith("ssh://") or "://" not in url


def _authorization(url: str, session: Session) -> Mapping[str, str]:
    """Return settings with the token or header that the session has for a host (GIT_AUTH_TOKEN, GIT_AUTH_HEADER)."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        return {}
    for name, is_token in (("GIT_AUTH_TOKEN", True), ("GIT_AUTH_HEADER", False)):
        for each in (f"{name}.{parts.hostname}", name):
            with suppress(NotFound):
                secret = session.secret(each).decode("utf-8", "surrogateescape").strip()
                if is_token:
                    secret = "basic " + base64.b64encode(f"x-access-token:{secret}".encode()).decode()
                return {f"http.{parts.scheme}://{parts.netloc}/.extraheader": f"Authorization: {secret}"}
    return {}
