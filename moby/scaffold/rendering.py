"""What an author starts from, as files: a plugin, a component, an assembly."""

import keyword
import re
import sys
from collections.abc import Mapping
from difflib import get_close_matches
from importlib import resources
from pathlib import PurePosixPath
from string import Template

from moby.errors import Invalid, NotFound, Unsupported
from moby.scaffold.contract import contract_of, has_suite, import_block, kinds, module_text

__all__ = ["KINDS", "Files", "assembly", "component", "plugin"]

Files = Mapping[PurePosixPath, str]
"""Text by path, relative to where it is to be written."""

KINDS = ("command", "packager")
"""Those of which there is a part small enough to begin with that works; of others one begins with the contract."""

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_FOLDERS = {"log-driver": "moby_log", "volume-driver": "moby_volume"}


def plugin(name: str, kind: str, framework: str) -> Files:
    """Return a whole distribution that brings one component; Invalid where the name won't do.

    `framework` is the least version of the framework that it asks for.
    """
    _check(name, "plugin")
    _check_kind(kind)
    plain = name.removeprefix("moby-")
    part = plain.removeprefix(f"{kind}-")
    package = plain.replace("-", "_")
    ours = package == "moby" or package.startswith("moby_")
    if ours or package in sys.stdlib_module_names or keyword.iskeyword(package):
        raise Invalid(
            f"a plugin {name!r} would be imported as {package}, which is taken", hint="add a word to its name"
        )
    # Import sorting sees the framework as foreign in a plugin, and the part as foreign in the framework's tree.
    words = _words(kind, part, package) | {"distribution": name, "framework": framework, "gap": ""}
    words |= {"before": "", "after": "\n" + _own_import(words)}
    source, tests = PurePosixPath("src", package), PurePosixPath("tests")
    return {
        PurePosixPath("pyproject.toml"): _text("plugin/pyproject.toml", words),
        PurePosixPath("README.md"): _text("plugin/README.md", words),
        PurePosixPath("LICENSE"): _text("plugin/LICENSE", {}),
        PurePosixPath(".gitignore"): _text("plugin/gitignore", words),
        source / "__init__.py": f'"""Brings the {kind} `{part}`."""\n',
        source / "py.typed": "",
        **_sources(kind, source, words),
        tests / "test_contract.py": _test(kind, words),
    }


def component(kind: str, name: str) -> Files:
    """Return a component of the framework's own tree, and its test; Invalid where the name won't do."""
    _check(name, "component")
    _check_kind(kind)
    top, folder = _FOLDERS.get(kind, f"moby_{kind.replace('-', '_')}"), name.replace("-", "_")
    words = _words(kind, name, f"{top}.{folder}") | {"gap": "\n"}
    words |= {"before": _own_import(words) + "\n", "after": ""}
    home = PurePosixPath("components", top, folder)
    return {
        home / "__init__.py": f'"""The {kind} `{name}`."""\n',
        **_sources(kind, home, words),
        home / "README.md": _text("component/README.md", words),
        PurePosixPath("tests", kind.replace("-", "_"), f"test_{folder}_suite.py"): _test(kind, words),
    }


def assembly(name: str) -> Files:
    """Return a manifest with a comment at each line; Invalid where the name won't do."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name):
        raise Invalid(f"{name!r} can't name an assembly", hint="use small letters, digits and -, as in ci-runner")
    return {PurePosixPath(f"{name}.yaml"): _text("assembly/assembly.yaml", {"name": name})}


def _check(name: str, what: str) -> None:
    if not _NAME.fullmatch(name):
        hint = "use small letters, digits and -, beginning with a letter, as in log-shipper"
        raise Invalid(f"{name!r} can't name a {what}", hint=hint)


def _check_kind(kind: str) -> None:
    known = kinds()
    if kind not in known:
        near = get_close_matches(kind, known, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise NotFound(f"there is no kind {kind!r}", hint=f"{hint}kinds: {', '.join(known)}")
    if not has_suite(kind):
        raise Unsupported(
            f"nothing holds a part of the kind {kind!r} to its contract yet, so there is none to begin with",
            hint=f"write it by hand, after {contract_of(kind).module}",
        )


def _words(kind: str, part: str, package: str) -> dict[str, str]:
    module = {"command": "verb", "packager": "format"}.get(kind, kind.replace("-", "_"))
    klass = "".join(word.capitalize() for word in part.split("-"))
    contract = contract_of(kind)
    return {
        "kind": kind, "component": part, "package": package, "module": module,
        "klass": f"Own{klass}" if klass in _imported(kind) else klass,
        "contract": contract.module,
        "state": "" if kind in KINDS else _text("unwritten/state", {"klass": klass}),
    }  # fmt: skip


def _imported(kind: str) -> set[str]:
    """Return the names that a part's files use already."""
    contract = contract_of(kind)
    found = {contract.protocol, "Config", "Component", "Unsupported", "Iterable"}
    found |= {name for _, name in contract.imports}
    found |= {name for *_, imports in contract.needs for _, name in imports}
    for file in ("plugin", "module", "test") if kind in KINDS else ():
        for line in re.findall(r"\bimport (.+)", _text(f"{kind}/{file}.py", {})):
            found.update(line.split(", "))
    return found


def _sources(kind: str, folder: PurePosixPath, words: Mapping[str, str]) -> Files:
    """Return the two files of a part: where it is declared, and where it is."""
    plugin, module = folder / "plugin.py", folder / f"{words['module']}.py"
    if kind in KINDS:
        return {plugin: _text(f"{kind}/plugin.py", words), module: _text(f"{kind}/module.py", words)}
    contract, apart = contract_of(kind), bool(words["gap"])
    imports = {
        ("attrs", "frozen"), ("collections.abc", "Iterable"), ("moby.component", "Component"),
        ("moby.hookspecs", "hookimpl"), (contract.module, contract.protocol),
        *(each for *_, imports in contract.needs for each in imports),
    }  # fmt: skip
    more = {
        "imports": import_block(imports, apart=apart),
        "protocol": contract.protocol,
        "parameters": ", ".join(f"{name}: {type_}" for name, type_, _ in contract.needs),
        "arguments": ", ".join(name for name, *_ in contract.needs),
    }
    return {
        plugin: _text("unwritten/plugin.py", {**words, **more}),
        module: module_text(contract, words["component"], words["klass"], apart=apart),
    }


def _test(kind: str, words: Mapping[str, str]) -> str:
    if kind in KINDS:
        return _text(f"{kind}/test.py", words)
    imports = ["from moby.testing.conformance import suite_of\n", f"from {words['package']} import plugin\n"]
    if words["gap"]:
        imports.reverse()
    return _text("unwritten/test.py", {**words, "imports": "\n".join(imports)})


def _own_import(words: Mapping[str, str]) -> str:
    return f"from {words['package']}.{words['module']} import {words['klass']}\n"


def _text(name: str, words: Mapping[str, str]) -> str:
    text = resources.files("moby.scaffold").joinpath("templates", f"{name}.tmpl").read_text(encoding="utf-8")
    return Template(text).substitute(words) if words else text
