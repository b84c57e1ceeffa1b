"""The JSON Schema of manifests: it takes what loads, and refuses what an editor should mark."""

import json
from typing import Any

import jsonschema
import pytest
import yaml
from click.testing import CliRunner

from moby import manifest, registry
from moby.cli import session
from moby.cli.schema import command
from moby.component import Facts, Option
from moby.errors import HostUnfit
from moby.manifest.sources import shipped_folder
from moby.registry import Catalog
from moby.schema import manifest_schema


def _facts(kind: str, name: str, *options: Option) -> Facts:
    return Facts(f"{kind}/{name}", kind, name, "1.0", 1, "d 1", "m", summary=f"The {name}.", options=options)


LIMITS = {
    "type": "object",
    "properties": {"memory": {"type": "integer", "default": 1, "description": "Bytes."}, "name": {"type": "string"}},
    "required": ["name"],
    "additionalProperties": False,
}
CATALOG = Catalog(
    {
        each.id: each
        for each in (
            _facts(
                "runtime",
                "runc",
                Option("binary", {"type": "string"}, "runc", help="Path of runc."),
                Option("level", {"enum": ["low", "high"]}, "low", help="How much."),
                Option("count", {"type": "integer"}, required=True, help="How many."),
                Option("limits", LIMITS, {}, help="Limits."),
                Option("tags", {"type": "array", "items": {"type": "string"}}, [], help="Tags."),
            ),
            _facts("runtime", "native"),
            _facts("frontend", "docker", Option("socket", {"anyOf": [{"type": "string"}, {"type": "null"}]}, None)),
            _facts("packager", "pyz", Option("compress", {"type": "boolean"}, True)),
        )
    }
)
VALIDATOR = jsonschema.Draft202012Validator(manifest_schema(CATALOG))


def _errors(text: str) -> list[Any]:
    return list(VALIDATOR.iter_errors({"moby": 1, **yaml.safe_load(text)}))


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(VALIDATOR.schema)
    assert VALIDATOR.schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("name", manifest.shipped())
def test_it_takes_every_shipped_assembly(name: str) -> None:
    schema = manifest_schema(registry.discover())
    document = yaml.safe_load((shipped_folder() / f"{name}.yaml").read_bytes())
    jsonschema.Draft202012Validator(schema).validate(document)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("name: a-1", id="name"),
        pytest.param("extends: [a, ../b.yaml]", id="extends"),
        pytest.param(f"extends: ['oci://example.org/x@sha256:{0:064}']", id="extends-from-an-image-registry"),
        pytest.param("parameters: {a: 1, b_c: x, d-e: true}", id="parameters"),
        pytest.param("components: {runtime: native}", id="part"),
        pytest.param("components: {runtime: runtime/runc, frontend: null}", id="part-by-id"),
        pytest.param("components: {runtime: [native, {use: runc, as: b}]}", id="list"),
        pytest.param(
            "components: {runtime: {use: runc, version: '>=1, <2', policy: optional, default: true}}", id="fields"
        ),
        pytest.param("components: {runtime: {use: runc, config: {count: 1, level: high, tags: [a]}}}", id="options"),
        pytest.param("components: {runtime: {use: runc, config: {count: {open: 2}}}}", id="open"),
        pytest.param(
            "components: {runtime: {use: runc, config: {count: '${n}', level: '${l}', tags: ['${t}']}}}",
            id="by-parameter",
        ),
        pytest.param(
            "components: {runtime: {use: runc, config: {count: 1, limits: {name: a, memory: '${m}'}}}}", id="nested"
        ),
        pytest.param("components: {runtime: '${runtime}'}", id="part-by-parameter"),
        pytest.param("components: {frontend: {use: docker, config: {socket: /x}}}", id="optional"),
        pytest.param(
            "extends: [a]\ncomponents: {runtime: {config: {count: null}}, frontend: {as: x, served: true}}", id="change"
        ),
        pytest.param("extends: [a]\ncomponents: {runtime: {runc: null, b: {config: {x: 1}}}}", id="by-name"),
        pytest.param(
            "extends: [a]\ncomponents: {runtime: {use: runc, config: {limits: {memory: 3}}}}", id="change-nested"
        ),
        pytest.param(
            "distribution: {formats: [pyz], budget: 20MiB, target: f.json, config: {pyz: {compress: false}}}",
            id="distribution",
        ),
        pytest.param("distribution: {budget: 17}", id="budget"),
    ],
)
def test_it_takes(text: str) -> None:
    assert _errors(text) == []


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("nmae: x", id="key"),
        pytest.param("moby: 2", id="schema"),
        pytest.param("name: A b", id="name"),
        pytest.param("extends: a", id="extends"),
        pytest.param("extends: ['oci://x']", id="remote"),
        pytest.param("parameters: {a: [1]}", id="parameter"),
        pytest.param("parameters: {1a: x}", id="parameter-name"),
        pytest.param("components: {runtme: runc}", id="kind"),
        pytest.param("components: {runtime: rnc}", id="component"),
        pytest.param("components: {runtime: frontend/docker}", id="component-of-other-kind"),
        pytest.param("components: {runtime: []}", id="empty"),
        pytest.param("components: {runtime: [[runc]]}", id="nested-list"),
        pytest.param("components: {runtime: {served: true}}", id="no-use"),
        pytest.param("components: {runtime: {runc: null}}", id="by-name-in-root"),
        pytest.param("components: {runtime: {use: runc, confg: {}}}", id="part-key"),
        pytest.param("components: {runtime: {use: runc, as: Bad}}", id="as"),
        pytest.param("components: {runtime: {use: runc, version: '1.1'}}", id="version"),
        pytest.param("components: {runtime: {use: runc, version: 1.1}}", id="version-number"),
        pytest.param("components: {runtime: {use: runc, policy: never}}", id="policy"),
        pytest.param("components: {runtime: {use: runc, served: 'yes'}}", id="served"),
        pytest.param("components: {runtime: {use: runc, config: {count: x}}}", id="option-type"),
        pytest.param("components: {runtime: {use: runc, config: {count: 1, bin: x}}}", id="option"),
        pytest.param("components: {runtime: {use: runc, config: {level: high}}}", id="required-option"),
        pytest.param("components: {runtime: {use: runc, config: {count: 1, level: mid}}}", id="option-value"),
        pytest.param(
            "components: {runtime: {use: runc, config: {count: 1, limits: {memory: 1}}}}", id="nested-required"
        ),
        pytest.param("components: {runtime: {use: runc, config: {count: {open: x}}}}", id="open-type"),
        pytest.param("components: {runtime: {use: native, config: {count: 1}}}", id="option-of-other"),
        pytest.param("extends: [a]\ncomponents: {runtime: {use: runc, config: {bin: null}}}", id="change-option"),
        pytest.param("distribution: {formats: [tar]}", id="format"),
        pytest.param("distribution: {formats: []}", id="no-format"),
        pytest.param("distribution: {formats: [pyz, pyz]}", id="format-twice"),
        pytest.param("distribution: {budget: 20 apples}", id="budget"),
        pytest.param("distribution: {target: host}", id="target"),
        pytest.param("distribution: {config: {pyz: {compress: 3}}}", id="format-option"),
    ],
)
def test_it_refuses(text: str) -> None:
    assert _errors(text)


def test_it_holds_the_help_and_default_of_every_option() -> None:
    catalog = registry.discover()
    definitions = manifest_schema(catalog)["$defs"]
    options = [(facts, option) for facts in catalog.components.values() for option in facts.options]
    assert options
    for facts, option in options:
        found = definitions[f"options-{facts.kind}-{facts.name}"]["properties"][option.name]
        assert found.get("description", "") == option.help
        assert option.required or found["default"] == option.default


def test_the_order_of_the_catalog_is_no_matter() -> None:
    shuffled = Catalog(dict(reversed(CATALOG.components.items())))
    ours, theirs = (jsonschema.Draft202012Validator(manifest_schema(each)) for each in (CATALOG, shuffled))
    document = {"moby": 1, "components": {"runtime": "native"}}
    assert ours.is_valid(document) == theirs.is_valid(document)


def test_command(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "catalog", lambda: CATALOG)
    printed = CliRunner().invoke(command, [], catch_exceptions=False).stdout
    assert json.loads(printed) == manifest_schema(CATALOG)
    out = tmp_path / "schema.json"
    assert CliRunner().invoke(command, ["-o", str(out)]).exit_code == 0
    assert json.loads(out.read_text()) == manifest_schema(CATALOG)
    with pytest.raises(HostUnfit, match="can't write"):
        CliRunner().invoke(command, ["-o", str(tmp_path / "no" / "x")], catch_exceptions=False)
