"""Bills of materials: which packages are in an image, as SPDX 2.3 (spdx.github.io/spdx-spec/v2.3)."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from moby.errors import Unsupported
from moby.oci.times import nano
from moby_builder.dockerfile.exports.attestations.packages import Package

__all__ = ["PREDICATE", "bill", "check"]

PREDICATE = "https://spdx.dev/Document"
_KNOWN = frozenset({"inline-only", "filename", "disabled", "type"})
_ROOT = "SPDXRef-DocumentRoot"
_NOTHING = "NOASSERTION"


def check(attributes: Mapping[str, str]) -> None:
    """Raise Unsupported where a bill is asked for that isn't made here; what an image may be told is its own."""
    for name in () if attributes.get("generator") else attributes:
        if name not in _KNOWN and name != "generator":
            raise Unsupported(f"sbom has no attribute {name[:100]!r}", hint=f"known are {', '.join(sorted(_KNOWN))}")


def bill(name: str, packages: Sequence[Package], distribution: str, time_ns: int) -> dict[str, Any]:
    """Return the document about something of this name; the same packages give the same document."""
    listed = [_package(each, number, distribution) for number, each in enumerate(packages)]
    root = {
        "SPDXID": _ROOT, "name": name, "downloadLocation": _NOTHING, "filesAnalyzed": False,
        "primaryPackagePurpose": "CONTAINER",
    }  # fmt: skip
    digest = hashlib.sha256(json.dumps(listed, sort_keys=True).encode()).hexdigest()
    return {
        "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": name,
        "documentNamespace": f"https://mobyproject.org/sbom/{quote(name, safe='')}-{digest}",
        "creationInfo": {"created": nano(time_ns)[:19] + "Z", "creators": ["Tool: moby"]},
        "packages": [*listed, root],
        "relationships": [
            _related("SPDXRef-DOCUMENT", "DESCRIBES", _ROOT),
            *(_related(_ROOT, "CONTAINS", each["SPDXID"]) for each in listed),
        ],
    }  # fmt: skip


def _package(package: Package, number: int, distribution: str) -> dict[str, Any]:
    shown = re.sub(r"[^A-Za-z0-9.-]", "-", f"{package.type}-{package.name}")
    found = {
        "SPDXID": f"SPDXRef-Package-{shown}-{number}", "name": package.name, "versionInfo": package.version,
        "supplier": _NOTHING, "downloadLocation": _NOTHING, "filesAnalyzed": False, "licenseConcluded": _NOTHING,
        "licenseDeclared": _NOTHING, "copyrightText": _NOTHING,
        "sourceInfo": f"acquired package info from /{package.found_in}",
        "externalRefs": [{
            "referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
            "referenceLocator": _purl(package, distribution),
        }],
    }  # fmt: skip
    if package.license:
        found["licenseComments"] = package.license
    return found


def _purl(package: Package, distribution: str) -> str:
    """Return a package URL (package-url, purl-spec)."""
    space = f"{quote(distribution, safe='')}/" if package.type in ("deb", "apk", "rpm") and distribution else ""
    name = "/".join(quote(each, safe="") for each in package.name.split("/"))
    tail = f"?arch={quote(package.architecture, safe='')}" if package.architecture else ""
    return f"pkg:{package.type}/{space}{name}@{quote(package.version, safe='')}{tail}"


def _related(one: str, how: str, other: str) -> dict[str, str]:
    return {"spdxElementId": one, "relationshipType": how, "relatedSpdxElement": other}
