"""What a call says of an image: its name, and for which platform it is to be."""

from moby.contracts.types import Platform
from moby.errors import Invalid
from moby_frontend.docker.call import Call

__all__ = ["platform_of", "reference_of"]


def reference_of(repository: str, tag: str) -> str:
    """Return a reference of a repository and a tag (or digest), as the API has them apart; a tag replaces another."""
    if not repository:
        if tag:
            raise Invalid("a tag is given, and no repository")
        return ""
    if not tag:
        return repository
    name, colon, last = repository.rpartition(":")
    if colon and "/" not in last and "@" not in repository:  # else it is a port, or part of a digest
        repository = name
    return f"{repository}@{tag}" if ":" in tag else f"{repository}:{tag}"


def platform_of(call: Call) -> Platform | None:
    """Return the platform that is asked for, as JSON (since 1.48) or as text; None for none."""
    text = call.query.text("platform")
    if not text:
        return None
    if text.startswith("{"):
        import json

        try:
            value = json.loads(text)
            system, architecture = str(value["os"]), str(value["architecture"])
            return Platform(system, architecture, str(value.get("variant", "")))
        except (ValueError, KeyError, TypeError, RecursionError):
            raise Invalid(f"invalid platform: {text[:200]}") from None
    words = text.split("/")
    if len(words) == 1:
        words = ["linux", *words] if words[0] != "linux" else ["linux", Platform.host().architecture]
    if not 2 <= len(words) <= 3 or not all(words):
        raise Invalid(f'"{text[:200]}" is an invalid platform: write OS/ARCHITECTURE')
    return Platform(*words)
