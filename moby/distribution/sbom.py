"""The bill of materials of a distribution, in CycloneDX 1.6, the same bytes for the same lock."""

import json
import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from moby.contracts.packager import FORMAT, Brought
from moby.distribution.contents import FRAMEWORK_OWNER, Contents
from moby.distribution.installed import FRAMEWORK, find
from moby.lock import Lock, Pin, dumps

if TYPE_CHECKING:
    from cyclonedx.model import Property
    from cyclonedx.model.component import Component
    from cyclonedx.model.license import License

__all__ = ["FORMAT_OWNER", "Sizes", "document", "sizes_in"]

Sizes = Mapping[str, Mapping[str, int]]
"""Bytes by format, then by owner."""

FORMAT_OWNER = FORMAT
SIZE = "moby:bytes:"
OWNER = "moby:owner"
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://cyclonedx.org/moby-framework")
EPOCH = datetime(1980, 1, 1, tzinfo=UTC)
"""No build time goes in; this is the date that the files in an archive have."""


def document(lock: Lock, found: Contents, sizes: Sizes, brought: Iterable[Brought] = ()) -> bytes:
    """Return the document: the components, the distributions inside, what formats brought, what needs what, bytes."""
    from cyclonedx.model import Property
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6

    def properties(owner: str) -> list[Property]:
        counted = [(name, owners[owner]) for name, owners in sorted(sizes.items()) if owner in owners]
        return [Property(name=OWNER, value=owner), *(Property(name=f"{SIZE}{n}", value=str(c)) for n, c in counted)]

    engine = Component(
        name=lock.name, type=ComponentType.APPLICATION, bom_ref=lock.name, properties=properties(FORMAT_OWNER)
    )
    components = {}
    for instance in lock.engine.instances:
        facts = instance.facts
        components[facts.id] = Component(
            name=facts.id,
            type=ComponentType.LIBRARY,
            bom_ref=facts.id,
            version=facts.version,
            description=facts.summary or None,
            properties=properties(facts.id),
        )
    inside = {pin.name: pin for pin in lock.distributions if not pin.build}
    for name, pin in inside.items():
        owner = FRAMEWORK_OWNER if name == FRAMEWORK else f"{pin.name} {pin.version}"
        components[f"{pin.name} {pin.version}"] = _distribution(pin, properties(owner))
    for each in sorted(set(brought)):
        components[each.owner] = _brought(each, properties(each.owner))
    bom = Bom(
        serial_number=uuid.uuid5(NAMESPACE, dumps(lock).decode()),
        components=components.values(),
        metadata=BomMetaData(component=engine, timestamp=EPOCH),
    )
    bom.register_dependency(engine, [components[each.facts.id] for each in lock.engine.instances])
    for instance in lock.engine.instances:
        bound = {target for binding in instance.bindings.values() for target in binding.targets}
        needed = {each.facts.id for each in lock.engine.instances if each.key in bound}
        needed |= {label for label, owners in found.distributions.items() if instance.facts.id in owners}
        bom.register_dependency(components[instance.facts.id], [components[key] for key in sorted(needed)])
    return (JsonV1Dot6(bom).output_as_string(indent=2) + "\n").encode()


def _distribution(pin: Pin, properties: "Iterable[Property]") -> "Component":
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    licence = find(pin.name).licence
    return Component(
        name=pin.name,
        type=ComponentType.LIBRARY,
        version=pin.version,
        purl=PackageURL("pypi", name=pin.name, version=pin.version),
        bom_ref=f"{pin.name} {pin.version}",
        licenses=[_licence(licence)] if licence else (),
        properties=properties,
    )


def _brought(each: Brought, properties: "Iterable[Property]") -> "Component":
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    return Component(
        name=each.name,
        type=ComponentType.LIBRARY,
        version=each.version,
        purl=PackageURL.from_string(each.url) if each.url else None,
        bom_ref=each.owner,
        properties=properties,
    )


def _licence(text: str) -> "License":
    from cyclonedx.model.license import DisjunctiveLicense, LicenseExpression
    from cyclonedx.spdx import is_expression, is_supported_id

    if is_supported_id(text):
        return DisjunctiveLicense(id=text)
    return LicenseExpression(text) if is_expression(text) else DisjunctiveLicense(name=text)


def sizes_in(data: bytes) -> dict[str, dict[str, int]]:
    """Return the bytes by format and owner that a document of ours tells; nothing where it is none."""
    try:
        found = json.loads(data)
        parts = [found["metadata"]["component"], *found.get("components", [])]
        listed = [{each["name"]: each["value"] for each in part.get("properties", [])} for part in parts]
        sizes: dict[str, dict[str, int]] = {}
        for properties in listed:
            for name, value in properties.items():
                if name.startswith(SIZE):
                    sizes.setdefault(name.removeprefix(SIZE), {})[properties[OWNER]] = int(value)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
    return {name: dict(sorted(owners.items())) for name, owners in sorted(sizes.items())}
