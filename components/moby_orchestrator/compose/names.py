"""Names and labels by which what belongs to a project is found again, by us and by docker compose."""

from collections.abc import Mapping

from moby_orchestrator.compose.files.fields import Record
from moby_orchestrator.compose.files.project import Project, config_hash

__all__ = ["container_labels", "container_name", "resource_labels"]

PREFIX = "com.docker.compose."
PROJECT = f"{PREFIX}project"
SERVICE = f"{PREFIX}service"
HASH = f"{PREFIX}config-hash"
NUMBER = f"{PREFIX}container-number"
ONEOFF = f"{PREFIX}oneoff"
IMAGE = f"{PREFIX}image"
NETWORK = f"{PREFIX}network"
VOLUME = f"{PREFIX}volume"
REPLACE = f"{PREFIX}replace"
SLUG = f"{PREFIX}slug"
FILES = f"{PREFIX}project.config_files"
VERSION = "2.26.1"
"""The docker compose whose labels and hashes these are."""


def container_name(project: str, name: str, service: Record, number: int) -> str:
    """Return the name of a service's how-manyth container."""
    return str(service.get("container_name") or f"{project}-{name}-{number}")


def container_labels(project: Project, name: str, service: Record, number: int, image: str) -> dict[str, str]:
    """Return all labels of a container; `image` is the id of the image that it is made of."""
    on: Mapping[str, Record] = service.get("depends_on") or {}
    waits = (f"{each}:{how.get('condition', '')}:{str(how.get('restart', False)).lower()}" for each, how in on.items())
    own = {
        PROJECT: project.name,
        SERVICE: name,
        f"{PREFIX}version": VERSION,
        f"{PREFIX}project.working_dir": str(project.folder),
        FILES: ",".join(project.files),
        ONEOFF: "False",
        HASH: config_hash(service),
        NUMBER: str(number),
        f"{PREFIX}depends_on": ",".join(waits),
        IMAGE: image,
    }
    if project.env_files:
        own[f"{PREFIX}project.environment_file"] = ",".join(project.env_files)
    return {**(service.get("labels") or {}), **own}


def resource_labels(project: Project, key: str, name: str, labels: Mapping[str, str]) -> dict[str, str]:
    """Return all labels of a network or volume; `key` is the label for its name in the files."""
    return {**labels, key: name, PROJECT: project.name, f"{PREFIX}version": VERSION}
