"""Who may import whom: only interfaces tie parts together, and the framework knows no part."""

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from moby.distribution.contents import ENGINE_HALF

ROOT = Path(__file__).resolve().parents[2]

# Each layer may import the layers before it and its own. What an engine runs on comes first.
LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"values"}),
    frozenset({"errors"}),
    frozenset({"contracts", "host"}),
    frozenset({"context", "expressions", "grpc", "oci", "yaml_faults"}),
    frozenset({"component", "options"}),
    frozenset({"hookspecs", "manifest", "needs", "plan", "surroundings"}),
    frozenset({"placement", "served"}),
    frozenset({"registry", "build_hook"}),
    frozenset({"resolver", "target", "wiring"}),
    frozenset({"sharing"}),
    frozenset({"lock", "difference", "graph", "refusals", "resolution", "schema"}),
    frozenset({"engine", "distribution", "machines", "scaffold"}),
    frozenset({"api", "testing"}),
    frozenset({"cli"}),
)
COMPONENT_MAY = frozenset({
    "context", "contracts", "errors", "expressions", "grpc", "host", "oci", "values", "yaml_faults",
})  # fmt: skip
PLUGIN_MODULE_MAY = COMPONENT_MAY | {"component", "hookspecs"}
ENGINE_SIDE = frozenset(name.split(".")[1] for name in ENGINE_HALF)
READS_YAML = ROOT / "components" / "moby_orchestrator" / "compose" / "files"
"""Compose files are YAML; imported by a call, once there is such a file, in a verb's own process."""
HEAVY = frozenset({"yaml", "networkx", "click", "packaging", "cyclonedx", "pytest"})


@cache
def imports(path: Path) -> tuple[tuple[str, int], ...]:
    """Return every absolute name that a file imports, at any depth, also for type checking alone."""
    return tuple(_imports(path))


def _imports(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            yield node.module or "", node.lineno
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def layer_of(module: str) -> int | None:
    parts = module.split(".")
    if parts[0] != "moby" or len(parts) == 1:
        return None
    return next((number for number, names in enumerate(LAYERS) if parts[1] in names), None)


def sources(folder: str) -> list[Path]:
    found = sorted((ROOT / folder).rglob("*.py"))
    assert found, f"no source read below {folder}"
    return found


def module_name(path: Path, base: Path) -> str:
    return ".".join(path.relative_to(base).with_suffix("").parts).removesuffix(".__init__")


def test_framework_imports_only_downwards() -> None:
    wrong = []
    for path in sources("moby"):
        name = module_name(path, ROOT)
        own = layer_of(name)
        if own is None:
            assert name == "moby", f"{name} stands in no layer: add it to LAYERS"
            continue
        for imported, line in imports(path):
            other = layer_of(imported)
            if other is not None and other > own:
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {imported}")
            if imported.split(".")[0].startswith("moby_"):
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports a component, {imported}")
    assert not wrong, "\n".join(wrong)


def shared(kind: str) -> frozenset[str]:
    """What components of a kind share: packages beside them that declare nothing."""
    folders = [each.parent for each in (ROOT / "components" / kind).glob("*/__init__.py")]
    return frozenset(f"{kind}.{each.name}" for each in folders if not (each / "plugin.py").exists())


def test_what_components_share_imports_no_component() -> None:
    wrong = []
    for path in sources("components"):
        name = module_name(path, ROOT / "components")
        own = ".".join(name.split(".")[:2])
        others = shared(own.partition(".")[0])
        if own in others:
            wrong += [
                f"{path.relative_to(ROOT)}:{line} imports {imported}"
                for imported, line in imports(path)
                if imported.startswith("moby_") and ".".join(imported.split(".")[:2]) not in others
            ]
    assert not wrong, "\n".join(wrong)


def test_components_import_contracts_and_themselves() -> None:
    wrong = []
    for path in sources("components"):
        name = module_name(path, ROOT / "components")
        own = ".".join(name.split(".")[:2])
        allowed = {own, *shared(own.partition(".")[0])}
        may = PLUGIN_MODULE_MAY if path.name == "plugin.py" else COMPONENT_MAY
        for imported, line in imports(path):
            parts = imported.split(".")
            where = f"{path.relative_to(ROOT)}:{line} imports {imported}"
            if (parts[0] == "moby" and (len(parts) == 1 or parts[1] not in may)) or (
                parts[0].startswith("moby_") and len(parts) > 1 and ".".join(parts[:2]) not in allowed
            ):
                wrong.append(where)
    assert not wrong, "\n".join(wrong)


def test_no_part_imports_what_declares_one() -> None:
    declaring = {module_name(path, ROOT / "components") for path in sources("components") if path.name == "plugin.py"}
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {imported}"
        for path in sources("components")
        for imported, line in imports(path)
        if imported in declaring
    ]
    assert not wrong, "\n".join(wrong)


def test_engine_side_needs_no_assembling_library() -> None:
    wrong = []
    paths = [
        path
        for path in sources("moby")
        if module_name(path, ROOT).split(".")[1:2] and module_name(path, ROOT).split(".")[1] in ENGINE_SIDE
    ] + sources("components")
    for path in paths:
        for imported, line in imports(path):
            if imported.split(".")[0] in HEAVY and not (imported == "yaml" and path.is_relative_to(READS_YAML)):
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {imported}")
    assert not wrong, "\n".join(wrong)


def test_kernel_interfaces_stay_behind_host() -> None:
    wrong = []
    for path in [*sources("moby"), *sources("components")]:
        if path.is_relative_to(ROOT / "moby" / "host"):
            continue
        wrong += [
            f"{path.relative_to(ROOT)}:{line}" for imported, line in imports(path) if imported.split(".")[0] == "ctypes"
        ]
    assert not wrong, f"ctypes outside moby/host: {wrong}"


def test_only_testing_imports_pytest() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in sources("moby")
        if not path.is_relative_to(ROOT / "moby" / "testing")
        for imported, line in imports(path)
        if imported.split(".")[0] in ("pytest", "_pytest")
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("module", ["moby", "moby.engine.entry", "moby.engine.verbs", "moby.engine.running"])
def test_engine_modules_load_no_heavy_library(module: str) -> None:
    import subprocess

    code = f"import {module}, sys; print(*sorted({set(HEAVY)!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.split() == []


def test_only_supervisors_take_runtimes() -> None:
    """One stray need would move runtimes into a big process with threads (and containers' first processes with it)."""
    from moby.registry import discover

    parts = discover().components.values()
    takers = {each.kind for each in parts if any(need.kind == "runtime" for need in each.needs)}
    assert takers == {"supervisor"}
