"""What image-spec says of its documents, as JSON schemas: a reading of its text, which names the section of each.

Stricter than the text in one thing: properties that it doesn't name are errors, since what is written here has none.
"""

import json

import jsonschema

DIGEST = {"type": "string", "pattern": r"^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$"}  # descriptor.md, digests
MEDIA_TYPE = {"type": "string", "pattern": r"^[A-Za-z0-9][\w!#$&^.+-]{0,126}/[A-Za-z0-9][\w!#$&^.+-]{0,126}$"}
TIME = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$"}  # RFC 3339, 5.6
TEXTS = {"type": "object", "additionalProperties": {"type": "string"}, "propertyNames": {"minLength": 1}}
TEXT_LIST = {"type": "array", "items": {"type": "string"}}
SET = {"type": "object", "additionalProperties": {"type": "object", "maxProperties": 0}}


def _object(required, **properties):
    return {"type": "object", "properties": properties, "required": required.split(), "additionalProperties": False}


PLATFORM = _object(  # image-index.md
    "architecture os",
    **{"os.version": {"type": "string"}, "os.features": TEXT_LIST},
    architecture={"type": "string", "minLength": 1},
    os={"type": "string", "minLength": 1},
    variant={"type": "string", "minLength": 1},
)
DESCRIPTOR = _object(  # descriptor.md
    "mediaType digest size",
    mediaType=MEDIA_TYPE,
    digest=DIGEST,
    size={"type": "integer", "minimum": 0},
    annotations=TEXTS,
    platform=PLATFORM,
)


def _of(*media_types):
    return {"allOf": [DESCRIPTOR, {"properties": {"mediaType": {"enum": list(media_types)}}}]}


_OCI = "application/vnd.oci.image."
MANIFEST = _object(  # manifest.md
    "schemaVersion config layers",
    schemaVersion={"const": 2},
    mediaType={"const": _OCI + "manifest.v1+json"},
    config=_of(_OCI + "config.v1+json"),
    layers={"type": "array", "items": _of(*(f"{_OCI}layer.v1.tar{each}" for each in ("", "+gzip", "+zstd")))},
    annotations=TEXTS,
)
INDEX = _object(  # image-index.md
    "schemaVersion manifests",
    schemaVersion={"const": 2},
    mediaType={"const": _OCI + "index.v1+json"},
    manifests={"type": "array", "items": _of(_OCI + "manifest.v1+json", _OCI + "index.v1+json")},
    annotations=TEXTS,
)
LAYOUT = _object("imageLayoutVersion", imageLayoutVersion={"const": "1.0.0"})  # image-layout.md
HEALTHCHECK = _object(  # Docker's, whose name config.md reserves
    "",
    Test=TEXT_LIST,
    **{
        each: {"type": "integer", "minimum": 0}
        for each in ("Interval", "Timeout", "StartPeriod", "StartInterval", "Retries")
    },
)
RUN = _object(  # config.md, config; with what it reserves for others
    "",
    User={"type": "string"},
    ExposedPorts={**SET, "propertyNames": {"pattern": r"^\d{1,5}/(tcp|udp|sctp)$"}},
    Env={"type": "array", "items": {"type": "string", "pattern": "^[^=]+=?"}},
    Entrypoint=TEXT_LIST,
    Cmd=TEXT_LIST,
    Volumes=SET,
    WorkingDir={"type": "string"},
    Labels=TEXTS,
    StopSignal={"type": "string", "pattern": r"^(SIG[A-Z0-9+]+|\d+)$"},
    ArgsEscaped={"type": "boolean"},
    Healthcheck=HEALTHCHECK,
    OnBuild=TEXT_LIST,
    Shell=TEXT_LIST,
)
STEP = _object(
    "",
    created=TIME,
    author={"type": "string"},
    created_by={"type": "string"},
    comment={"type": "string"},
    empty_layer={"type": "boolean"},
)
CONFIG = _object(  # config.md
    "architecture os rootfs",
    **{"os.version": {"type": "string"}, "os.features": TEXT_LIST},
    created=TIME,
    author={"type": "string"},
    comment={"type": "string"},  # Docker's
    docker_version={"type": "string"},  # these two are kept of what its first releases wrote
    container_config={"type": "object"},
    architecture={"type": "string", "minLength": 1},
    variant={"type": "string"},
    os={"type": "string", "minLength": 1},
    config=RUN,
    rootfs=_object("type diff_ids", type={"const": "layers"}, diff_ids={"type": "array", "items": DIGEST}),
    history={"type": "array", "items": STEP},
)


def hold(data, schema):
    """Read a document and return it; a ValidationError says what of it isn't as the text has it."""
    value = json.loads(data)
    jsonschema.Draft202012Validator(schema).validate(value)
    return value


def hold_image(manifest, config):
    """Read an image's two documents and return them; what is in both must agree, as config.md has it."""
    described, stored = hold(manifest, MANIFEST), hold(config, CONFIG)
    layers, diff_ids = described["layers"], stored["rootfs"]["diff_ids"]
    assert len(layers) == len(diff_ids)
    for layer, diff_id in zip(layers, diff_ids, strict=True):
        if layer["mediaType"].endswith(".tar"):
            assert layer["digest"] == diff_id
    if "history" in stored:
        assert len([each for each in stored["history"] if not each.get("empty_layer")]) == len(diff_ids)
    return described, stored
