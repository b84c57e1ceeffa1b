"""Reference pages in Markdown, drawn of contracts and of the facts about installed components."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping

from moby import errors
from moby.component import Facts, HostNeed
from moby.placement import UNSERVED
from moby.registry import Catalog
from moby.scaffold.classes import Attribute, Described, Function, described, public
from moby.scaffold.contract import contract_of, has_suite, kinds
from moby.scaffold.option_types import type_text

__all__ = ["pages"]

_SHARED = ("moby.contracts.types", "moby.contracts.streams")
_AROUND = (
    ("component", "moby.component", "How a part is declared", ("Component", "HostNeed", "Conflicting")),
    ("ambient", "moby.contracts.ambient", "What every part may have, and may offer", ()),
    ("errors", "moby.errors", "Errors", ()),
)
_ERRORS = [name for name, each in vars(errors).items() if isinstance(each, type) and issubclass(each, errors.MobyError)]


def pages(catalog: Catalog) -> dict[str, str]:
    """Return the pages by file name: one for each kind of which there is a contract, and those about all of them."""
    found = {"index.md": _index(catalog), "shared.md": _shared()}
    for kind in kinds():
        found[f"{kind}.md"] = _page(kind, catalog)
    for name, module, title, chosen in _AROUND:
        classes = _classes(module, chosen or public(module))
        found[f"{name}.md"] = "\n".join([f"# {title}", "", f"Import from `{module}`.", "", *_values(classes)])
    return found


def _classes(module: str, names: Iterable[str]) -> list[Described]:
    return [found for each in names if (found := described(module, each)) is not None]


def _index(catalog: Catalog) -> str:
    lines = [
        "# Reference",
        "",
        "Drawn of the contracts themselves, and of what the components of this framework say of themselves.",
        "[How a part is declared](component.md), [what every part may have](ambient.md),",
        "[values that contracts share](shared.md), [errors](errors.md).",
        "",
        "Several: an engine may have more than one. Served: a part can be called in a process of its own, and be in",
        "another language ([served parts](../served-parts.md)).",
        "",
        "| kind | what it does | several | suite | served | parts |",
        "|---|---|---|---|---|---|",
    ]
    for kind in kinds():
        parts = ", ".join(f"`{each.name}`" for each in _parts(kind, catalog))
        many = any(each.many for each in _parts(kind, catalog))
        served = "" if kind in UNSERVED else "yes"
        cells = (contract_of(kind).summary, "yes" if many else "", "yes" if has_suite(kind) else "", served, parts)
        lines.append(f"| [`{kind}`]({kind}.md) | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _shared() -> str:
    classes = [each for module in _SHARED for each in _classes(module, public(module))]
    unique = {each.name: each for each in classes}
    return "\n".join(
        ["# Values that contracts share", "", f"Import from `{_SHARED[0]}`.", "", *_values(unique.values())]
    )


def _parts(kind: str, catalog: Catalog) -> list[Facts]:
    return sorted((each for each in catalog.components.values() if each.kind == kind), key=lambda each: each.name)


def _page(kind: str, catalog: Catalog) -> str:
    contract = contract_of(kind)
    classes = _classes(contract.module, public(contract.module))
    (main,) = [each for each in classes if each.name == contract.protocol]
    others = [each for each in classes if each.name != contract.protocol]
    values = [each for each in others if not each.name.endswith("Feature")]
    features = [each for each in others if each.name.endswith("Feature")]
    begin = f"`moby new plugin NAME --kind {kind}` begins one, `moby test-plugin` tests it." if has_suite(kind) else ""
    lines = [f"# {kind}", "", main.doc, "", f"Import from `{contract.module}`. {begin}".rstrip(), ""]
    if kind in UNSERVED:
        lines += [f"A part of this kind lives with who needs it: {UNSERVED[kind]}.", ""]
    lines += [f"## {main.name}", ""]
    if main.attributes:
        lines += [*_table(main.attributes), ""]
    for each in main.methods:
        lines += _method(each)
    for feature in features:
        lines += [f"## {feature.name}", "", feature.doc, "", *_table(feature.attributes), ""]
    if values:
        lines += ["## Values", "", *_uses([main, *values], {each.name for each in classes}), *_values(values, level=3)]
    lines += ["## Parts", "", *_of_parts(_parts(kind, catalog))]
    return "\n".join(lines)


def _uses(classes: Iterable[Described], own: set[str]) -> Iterator[str]:
    """Name the shared values that a page's types are written with."""
    shared = {name for module in _SHARED for name in public(module) if described(module, name)} - own
    used = sorted(shared & {name for each in classes for name in each.names})
    if used:
        yield (
            "Of those that contracts share: " + ", ".join(f"[{each}](shared.md#{each.lower()})" for each in used) + "."
        )
        yield ""


def _method(function: Function) -> Iterator[str]:
    yield from (f"### {function.name}", "", "```python", function.signature, "```", "", _escaped(function.doc), "")
    if function.repeatable:
        yield "Repeated where its part has a process of its own that died meanwhile."
        yield ""
    if named := [each for each in _ERRORS if re.search(rf"\b{each}\b", function.doc)]:
        yield "Errors: " + ", ".join(f"[{each}](errors.md#{each.lower()})" for each in named) + "."
        yield ""


def _values(classes: Iterable[Described], level: int = 2) -> Iterator[str]:
    for each in classes:
        bases = [base for base in each.bases if base not in ("Protocol", "MobyError", "Exception")]
        kind = f" (`{', '.join(bases)}`)" if bases else ""
        yield from (f"{'#' * level} {each.name}", "", _escaped(each.doc) + kind, "")
        if each.attributes:
            yield from (*_table(each.attributes), "")
        for method in each.methods:
            yield from ("```python", method.signature, "```", "", _escaped(method.doc), "")


def _table(attributes: Iterable[Attribute]) -> Iterator[str]:
    yield "| name | type | default | |"
    yield "|---|---|---|---|"
    for each in attributes:
        yield f"| `{each.name}` | {_code(each.type)} | {_code(each.default)} | {_cell(each.doc)} |"


def _of_parts(parts: Iterable[Facts]) -> Iterator[str]:
    for each in parts:
        yield from (f"### {each.name}", "", _escaped(each.summary), "")
        yield from (f"- {line}" for line in _facts(each))
        yield ""
        if each.options:
            yield from ("| option | type | default | |", "|---|---|---|---|")
            for option in each.options:
                default = "must be given" if option.required else f"`{json.dumps(option.default, ensure_ascii=False)}`"
                row = (
                    f"`{option.name}`",
                    _code(type_text(option.schema)),
                    default.replace("|", "\\|"),
                    _cell(option.help),
                )
                yield f"| {' | '.join(row)} |"
            yield ""


_LIVES = {
    "outlives": "has a process of its own, which goes on when the engine ends",
    "copied": "holds nothing: each process that needs it has its own",
    "program": "is a program in another language",
}


def _facts(facts: Facts) -> Iterator[str]:
    if facts.preferred:
        yield "fills its kind where an assembly needs one and names none"
    if facts.provides:
        yield "offers " + ", ".join(f"`{each}`" for each in facts.provides)
    if facts.needs:
        many: Mapping[str, str] = {"one": "", "each": " (each)", "optional": " (if there is one)"}
        yield "needs " + ", ".join(f"[{each.kind}]({each.kind}.md){many[each.arity]}" for each in facts.needs)
    for need in facts.host:
        yield f"needs of its host {_host(need)}"
    if facts.brings:
        yield "brings " + ", ".join(f"`{each}`" for each in facts.brings)
    if facts.served:
        yield _LIVES[facts.served]


def _host(need: HostNeed) -> str:
    package = f" (Debian: `{need.package}`)" if need.package else ""
    optional = ", optionally" if need.optional else ""
    why = f": {need.why}" if need.why else ""
    return f"the {need.what} `{' '.join(filter(None, (need.name, need.version)))}`{package}{optional}{why}"


def _code(text: str) -> str:
    return f"`{text}`".replace("|", "\\|") if text else ""


def _cell(text: str) -> str:
    return _escaped(" ".join(text.split())).replace("|", "\\|")


def _escaped(text: str) -> str:
    """Return text whose `<` outside of code is no element of HTML."""
    return "".join(each if each.startswith("`") else each.replace("<", "&lt;") for each in re.split(r"(`[^`]*`)", text))
