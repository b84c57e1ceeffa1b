"""The pull that `run` and `create` begin with, where the image isn't there or should be the newest."""

import json
import sys
from typing import Any
from urllib.parse import quote

from moby.errors import Invalid, MobyError, NotFound
from moby.host.progress_lines import ProgressLines
from moby.oci import logins
from moby.oci import reference as references
from moby_containers.command.client import Client, query

__all__ = ["POLICIES", "create", "pull"]

POLICIES = ("always", "missing", "never")


def create(client: Client, path: str, body: Any, *, image: str, policy: str, platform: str, quiet: bool) -> Any:
    """Make a container of an image that is pulled as the policy says."""
    if policy not in POLICIES:
        raise Invalid(f"invalid pull option: {policy!r}: must be one of {', '.join(map(repr, POLICIES))}")
    if policy == "always":
        pull(client, image, platform, quiet=quiet)
    try:
        return client.post(path, body)
    except NotFound:
        if policy != "missing" or not _is_absent(client, image):
            raise
    if not quiet:
        print(f"Unable to find image '{_shown(image)}' locally", file=sys.stderr)  # noqa: T201  # a command's output
    pull(client, image, platform, quiet=quiet)
    return client.post(path, body)


def pull(client: Client, image: str, platform: str = "", *, quiet: bool = False) -> None:
    """Pull an image as whom the user has logged in, and show its progress on standard error."""
    reference = references.parse(image)
    tag = str(reference.digest) if reference.digest else reference.tag
    path = f"/images/create{query(fromImage=references.familiar_name(reference), tag=tag, platform=platform)}"
    who = logins.header(logins.saved(reference.domain))
    lines = ProgressLines(sys.stderr)
    sys.stdout.flush()
    with client.open("POST", path, headers={"X-Registry-Auth": who} if who else None) as answer:
        for line in answer:
            found = json.loads(line) if line.strip() else {}
            if found.get("error"):
                raise MobyError(f"Error response from daemon: {found['error']}")
            if found.get("status") and not quiet:
                lines.show(found["status"], found.get("id", ""), found.get("progress", ""))


def _is_absent(client: Client, image: str) -> bool:
    """Whether it is the image that isn't there, and a name that could be pulled; Invalid where none can be named so."""
    if references.is_id(image):
        return False
    references.parse(image)
    try:
        client.get(f"/images/{quote(image)}/json")
    except NotFound:
        return True
    return False


def _shown(image: str) -> str:
    return references.familiar(references.parse(image))
