"""The verbs that go through image registries: pull, push, login, logout, in docker's words."""

import getpass
import sys
from argparse import Namespace
from collections.abc import Iterable

from moby.contracts.image_registry import Credentials, ImageRegistry
from moby.contracts.images import Images, Progress
from moby.contracts.types import ImageReference, Platform
from moby.errors import Invalid, Unsupported
from moby.host.progress_lines import ProgressLines, bar
from moby.oci import logins
from moby.oci import reference as references
from moby.values import evolve, frozen

__all__ = ["Transfer"]

_UNENCRYPTED = """\
WARNING! Your password will be stored unencrypted in {}.
Configure a credential helper to remove this warning. See
https://docs.docker.com/engine/reference/commandline/login/#credentials-store
"""
_INSECURE = "WARNING! Using --password via the CLI is insecure. Use --password-stdin."


@frozen
class Transfer:
    """Does them, with an engine's images and its image registries' client."""

    images: Images
    image_registry: ImageRegistry | None

    def pull(self, parsed: Namespace, platform: Platform | None) -> int:
        """Fetch an image, and print its name."""
        reference = self._asked(parsed)
        self._shown(self.images.pull(reference, self._who(reference), platform=platform), quiet=parsed.quiet)
        print(reference)  # noqa: T201  # a command's output
        return 0

    def push(self, parsed: Namespace) -> int:
        """Send an image."""
        reference = self._asked(parsed)
        self._shown(self.images.push(reference, self._who(reference)), quiet=parsed.quiet)
        if parsed.quiet:
            print(references.familiar(reference))  # noqa: T201  # a command's output
        return 0

    def login(self, parsed: Namespace) -> int:
        """Prove and save credentials."""
        server = parsed.server or logins.HUB_KEY
        if parsed.password_stdin and (parsed.password or not parsed.username):
            raise Invalid(
                "--password and --password-stdin are mutually exclusive" if parsed.password
                else "must provide --username with --password-stdin"
            )  # fmt: skip
        if parsed.password:
            print(_INSECURE, file=sys.stderr)  # noqa: T201  # a command's output
        given = self._given(parsed)
        token = self._client().login(server, given)
        kept = evolve(given, password="", identity_token=token) if token else given
        if logins.save(server, kept):
            print(_UNENCRYPTED.format(logins.config_path()), file=sys.stderr)  # noqa: T201  # a command's output
        print("Login Succeeded")  # noqa: T201  # a command's output
        return 0

    def logout(self, parsed: Namespace) -> int:
        """Forget credentials."""
        logins.forget(parsed.server or logins.HUB_KEY)
        print(f"Removing login credentials for {parsed.server or logins.HUB_KEY}")  # noqa: T201  # a command's output
        return 0

    def _asked(self, parsed: Namespace) -> ImageReference:
        reference = references.parse(parsed.name, default_tag=False)
        if parsed.all_tags:
            if reference.tag or reference.digest:
                raise Invalid("tag can't be used with --all-tags/-a")
            return reference
        if not reference.tag and reference.digest is None:
            reference = evolve(reference, tag=references.DEFAULT_TAG)
            if not parsed.quiet:
                print(f"Using default tag: {reference.tag}")  # noqa: T201  # a command's output
        return reference

    def _who(self, reference: ImageReference) -> Credentials | None:
        return self.image_registry.saved(reference.domain) if self.image_registry else None

    def _client(self) -> ImageRegistry:
        if self.image_registry is None:
            raise Unsupported(
                "this distribution has no image registry's client", hint="assemble an image-registry part"
            )
        return self.image_registry

    def _given(self, parsed: Namespace) -> Credentials:
        if parsed.password_stdin:
            return Credentials(parsed.username, sys.stdin.read().rstrip("\r\n"))
        if not (parsed.username and parsed.password) and not sys.stdin.isatty():
            raise Invalid("cannot perform an interactive login from a non TTY device", hint="use --password-stdin")
        username = parsed.username or input("Username: ")
        return Credentials(username, parsed.password or getpass.getpass("Password: "))

    def _shown(self, told: Iterable[Progress], *, quiet: bool) -> None:
        lines = ProgressLines(sys.stdout)
        for each in told:
            if each.status and not quiet:
                moves = each.current or each.total
                lines.show(each.status, each.id, bar(each.current, each.total) if moves else "")
