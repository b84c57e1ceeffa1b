"""Which files an engine needs: its components, what they import of the framework, and the distributions they bring."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from attrs import define, field, frozen

from moby.component import Facts
from moby.contracts.packager import Entry, Source
from moby.distribution import modules
from moby.distribution.installed import FRAMEWORK, Installed, closure, find
from moby.distribution.modules import Import, Module, inside
from moby.errors import Invalid, Origin, Problem
from moby.lock import Lock, dumps
from moby.plan import Plan

__all__ = [
    "ENGINE_HALF", "FRAMEWORK_OWNER", "LOCK", "MAIN", "RUNS_ON", "Contents", "contents", "distribution_name", "render",
    "source",
]  # fmt: skip

ENGINE_HALF = (
    "moby.values", "moby.errors", "moby.contracts", "moby.host", "moby.context", "moby.expressions", "moby.grpc",
    "moby.oci", "moby.component", "moby.options", "moby.hookspecs", "moby.needs", "moby.placement", "moby.plan",
    "moby.served", "moby.surroundings", "moby.wiring", "moby.yaml_faults", "moby.engine",
)  # fmt: skip
"""What of the framework may be in an engine; the rest serves assembling one."""
ENTRY_MODULE = "moby.engine.entry"
RUNS_ON = ("attrs", "pluggy")
"""The distributions that every engine runs on."""
LOCK = "moby-lock.json"
MAIN = "__main__.py"
FRAMEWORK_OWNER = "moby"
UNUSED_AT_RUN_TIME = (".pyc", ".pyi", ".pth")

MAIN_SOURCE = '''\
"""Runs the engine; `version` is answered here, since it must cost no import."""

import sys

if sys.version_info < (3, 11):
    sys.exit("{name} needs Python 3.11 or newer; this is %d.%d" % sys.version_info[:2])
if sys.argv[1:] in (["version"], ["--version"]):
    print("{name} (moby {framework}, Python %d.%d.%d)" % sys.version_info[:3])
    sys.exit()

try:
    from moby.engine.entry import main
except KeyboardInterrupt:
    sys.exit(130)
sys.exit(main(sys.argv[1:]))
'''


@frozen
class Contents:
    """The files of an engine, and who brought what of them."""

    entries: tuple[Entry, ...] = field(repr=False)
    """Sorted by path; without main module and lock."""
    distributions: Mapping[str, tuple[str, ...]]
    """By `NAME VERSION`: the owners that it is there for; the framework is among them."""
    unlicensed: tuple[str, ...] = ()
    """Distributions inside that have no licence text."""


def render(plan: Plan, lock: Lock) -> Source:
    """Return a whole engine's files; Invalid names each import of a component that would fail in it."""
    return source(contents(plan), lock)


def source(found: Contents, lock: Lock) -> Source:
    """Return an engine's files with main module and lock, as packagers take them."""
    main = MAIN_SOURCE.format(name=lock.name, framework=lock.framework).encode()
    own = [Entry(MAIN, main, FRAMEWORK_OWNER), Entry(LOCK, dumps(lock), FRAMEWORK_OWNER)]
    return Source(lock.name, tuple(sorted([*found.entries, *own], key=lambda entry: entry.path)))


def contents(plan: Plan) -> Contents:
    """Return the files that the components of a plan need, apart from main module and lock."""
    parts = {instance.facts.id: instance.facts for instance in plan.instances}
    chosen = [parts[key] for key in sorted(parts)]
    brought = closure({FRAMEWORK_OWNER: RUNS_ON, **{facts.id: facts.brings for facts in chosen if facts.brings}})
    walk = _Walk(chosen, brought)
    walk.run()
    entries = [walk.entry(name) for name in sorted(walk.owners)]
    for facts in chosen:
        entries += _data(facts, {entry.path for entry in entries})
    for installed, _ in brought.values():
        entries += _whole(installed, walk.natives)
    shipped = {distribution_name(facts): (find(distribution_name(facts)), frozenset[str]()) for facts in chosen}
    shipped[FRAMEWORK] = (find(FRAMEWORK), frozenset({FRAMEWORK_OWNER}))
    for facts in chosen:
        installed, owners = shipped[distribution_name(facts)]
        shipped[distribution_name(facts)] = (installed, owners | {facts.id})
    everything = {**brought, **shipped}
    texts = {installed.label: list(_licences(installed)) for installed, _ in everything.values()}
    entries += [entry for found in texts.values() for entry in found]
    return Contents(
        _unique(entries),
        {installed.label: tuple(sorted(owners)) for _, (installed, owners) in sorted(everything.items())},
        tuple(sorted(label for label, found in texts.items() if not found)),
    )


def _unique(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Return entries sorted by path; Invalid where two owners bring different files for one place."""
    found: dict[str, Entry] = {}
    for entry in entries:
        other = found.setdefault(entry.path, entry)
        if other.data != entry.data:
            raise Invalid(
                f"{other.owner} and {entry.owner} both bring {entry.path}, and not the same",
                hint="an engine can have just one of them",
            )
    return tuple(found[path] for path in sorted(found))


def distribution_name(facts: Facts) -> str:
    """Return the name of the Python distribution that a component is of."""
    return facts.distribution.partition(" ")[0] or FRAMEWORK


def _package(facts: Facts) -> str:
    """Return the package that is a component's own: the one that its plugin module is in."""
    return facts.module.rpartition(".")[0] or facts.module


@define
class _Walk:
    """Follows imports from the engine's entry and the components, and notes whose each module is."""

    chosen: list[Facts]
    brought: Mapping[str, tuple[Installed, frozenset[str]]]
    owners: dict[str, str] = field(factory=dict)
    """By module that goes in on its own: the framework's and the components'."""
    natives: set[str] = field(factory=set)
    """Modules of machine code in brought distributions that something needs when it is imported."""
    _sources: dict[str, tuple[Module, bytes]] = field(factory=dict)
    _waiting: list[tuple[str, str]] = field(factory=list)
    _problems: list[Problem] = field(factory=list)
    _tops: dict[str, Installed] = field(factory=dict)
    _followed: set[str] = field(factory=set)
    _shipped: dict[str, Installed] = field(factory=dict)
    _found: dict[str, Module | None] = field(factory=dict)

    def run(self) -> None:
        """Walk; Invalid names all imports that can't be kept."""
        for installed, _ in self.brought.values():
            self._tops.update(dict.fromkeys(installed.tops(), installed))
        self._add(ENTRY_MODULE, FRAMEWORK_OWNER)
        for facts in self.chosen:
            self._add(facts.module, facts.id)
            for name in _modules_in(_package(facts)):
                self._add(name, facts.id)
        while self._waiting:
            name, owner = self._waiting.pop(0)
            module, source = self._sources[name]
            if not module.native:
                for each in modules.imports(module, source):
                    self._follow(each, module, owner)
        if self._problems:
            raise Invalid("components import what an engine can't have", problems=tuple(self._problems))

    def entry(self, name: str) -> Entry:
        """Return the file of a module that goes in on its own."""
        module, source = self._sources[name]
        return Entry(module.entry, source, self.owners[name])

    def _add(self, name: str, owner: str) -> bool:
        """Take a module and its packages; False where there is no such module."""
        for each in (*modules.ancestors(name), name):
            module = self._find(each)
            if module is None:
                return False
            if each not in self.owners and not module.path.is_dir():
                whose = owner if each == name or self._owned(each, owner) else FRAMEWORK_OWNER
                self.owners[each] = whose
                self._sources[each] = (module, self._read(module))
                self._waiting.append((each, whose))
        return True

    def _read(self, module: Module) -> bytes:
        """Return a module's source; Corrupt where it was installed as another one."""
        for name in {FRAMEWORK, *map(distribution_name, self.chosen)}:
            installed = self._installed(name)
            if module.path == installed.root / module.entry:
                return installed.read(module.entry)
        return module.path.read_bytes()

    def _owned(self, name: str, owner: str) -> bool:
        """Return whether a package is a component's own, or of its distribution; not a kind's folder of ours."""
        facts = next((each for each in self.chosen if each.id == owner), None)
        return facts is not None and (
            inside(name, _package(facts)) or (inside(_package(facts), name) and distribution_name(facts) != FRAMEWORK)
        )

    def _follow(self, each: Import, module: Module, owner: str) -> None:
        top = each.module.partition(".")[0]
        if modules.is_standard(top):
            return
        if top in self._tops:
            self._follow_brought(each.module)
        elif top == "moby":
            self._follow_framework(each, module, owner)
        elif owner != FRAMEWORK_OWNER and self._has_components(top):
            self._follow_component(each, module, owner)
        elif not each.guarded and not each.member:
            fix = f"name the distribution of {top} in the component's `brings`, or do without it"
            self._problem(each, module, f"{owner} imports {each.module}, which isn't in the engine", fix)

    def _has_components(self, top: str) -> bool:
        """Return whether a top-level package has chosen components, or some of the framework's, which share modules."""
        if any(top == facts.module.partition(".")[0] for facts in self.chosen):
            return True
        return top.startswith(f"{FRAMEWORK_OWNER}_") and top in self._installed(FRAMEWORK).tops()

    def _installed(self, name: str) -> Installed:
        return self._shipped.get(name) or self._shipped.setdefault(name, find(name))

    def _follow_framework(self, each: Import, module: Module, owner: str) -> None:
        if each.member and self._find(each.module) is None:
            return
        if each.module != "moby" and not any(inside(each.module, half) for half in ENGINE_HALF):
            fix = f"an engine may import {', '.join(ENGINE_HALF)}"
            self._problem(each, module, f"{owner} imports {each.module}, which serves assembling and isn't in it", fix)
        elif not self._add(each.module, FRAMEWORK_OWNER) and not each.guarded:
            self._problem(each, module, f"{owner} imports {each.module}, which there isn't", "")

    def _follow_component(self, each: Import, module: Module, owner: str) -> None:
        facts = next(facts for facts in self.chosen if facts.id == owner)
        other = next(
            (name for name in (*modules.ancestors(each.module), each.module) if self._is_component(name, facts)), None
        )
        if other is not None:
            fix = "ask for its contract in the factory's signature"
            self._problem(each, module, f"{owner} imports {each.module}, which is another component's", fix)
        elif not self._add(each.module, owner) and not each.member and not each.guarded:
            self._problem(each, module, f"{owner} imports {each.module}, which there isn't", "")

    def _follow_brought(self, name: str) -> None:
        """Note the machine code that is needed once a module of a brought distribution is imported."""
        for each in (*modules.ancestors(name), name):
            module = self._find(each)
            if module is None or each in self._followed or module.path.is_dir():
                continue
            self._followed.add(each)
            if module.native:
                self.natives.add(each)
                continue
            if not any(path.endswith(modules.NATIVE) for path in self._tops[name.partition(".")[0]].files):
                return
            for inner in modules.imports(module, module.path.read_bytes()):
                if inner.module.partition(".")[0] in self._tops and not inner.guarded and not inner.lazy:
                    self._follow_brought(inner.module)

    def _is_component(self, name: str, facts: Facts) -> bool:
        """Return whether a package is a component's, but not this one's."""
        return (
            not inside(_package(facts), name)
            and not inside(name, _package(facts))
            and bool((module := self._find(name)) and module.package and self._find(f"{name}.plugin"))
        )

    def _find(self, name: str) -> Module | None:
        """Return where a module lies; most are imported many times."""
        if name not in self._found:
            self._found[name] = modules.find(name)
        return self._found[name]

    def _problem(self, each: Import, module: Module, message: str, fix: str) -> None:
        problem = Problem(message, Origin(module.entry, each.line, 1), fixes=(fix,) if fix else ())
        if problem not in self._problems:
            self._problems.append(problem)


def _own_files(package: str) -> Iterable[tuple[Path, tuple[str, ...]]]:
    """Return the files of a package, with their place in it, but not those of components that are packages in it."""
    module = modules.find(package)
    if module is None or not module.package:
        return
    folder = module.path if module.path.is_dir() else module.path.parent
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        parts = path.relative_to(folder).parts
        nested = any((folder.joinpath(*parts[:depth]) / "plugin.py").is_file() for depth in range(1, len(parts)))
        if not nested and not any(part.startswith(".") or part == "__pycache__" for part in parts):
            yield path, parts


def _modules_in(package: str) -> Iterable[str]:
    """Return the names of all modules in a package, itself included."""
    for path, (*folders, name) in _own_files(package):
        if path.suffix == ".py":
            yield ".".join([package, *folders, *([] if name == "__init__.py" else [path.stem])])


def _data(facts: Facts, present: set[str]) -> Iterable[Entry]:
    """Return the files of a component's package that aren't modules of Python."""
    place = _package(facts).replace(".", "/")
    for path, parts in _own_files(_package(facts)):
        entry = "/".join([place, *parts])
        if entry not in present and _serves(path):
            yield Entry(entry, path.read_bytes(), facts.id, executable=_executable(path))


def _serves(path: Path) -> bool:
    """Return whether a file may serve a running engine; machine code with a source beside it doesn't."""
    if path.name.endswith(modules.NATIVE) and path.with_name(f"{path.name.partition('.')[0]}.py").exists():
        return False
    return not path.name.endswith((".py", *UNUSED_AT_RUN_TIME)) and path.name not in ("README.md", "py.typed")


def _executable(path: Path) -> bool:
    return bool(path.stat().st_mode & 0o100)


def _whole(installed: Installed, natives: set[str]) -> Iterable[Entry]:
    """Return a brought distribution's files, without machine code that it can do without."""
    names_metadata = False
    kept = []
    for path in sorted(installed.files):
        if ".dist-info/" in path or path.endswith(UNUSED_AT_RUN_TIME) or path.endswith("/py.typed"):
            continue
        if path.endswith(modules.NATIVE) and path.partition(".")[0].replace("/", ".") not in natives:
            continue
        data = installed.read(path)
        names_metadata |= b"importlib.metadata" in data or b"importlib_metadata" in data
        kept.append(Entry(path, data, installed.label, executable=_executable(installed.root / path)))
    if names_metadata:
        metadata = next(path for path in installed.files if path.endswith(".dist-info/METADATA"))
        kept.append(Entry(metadata, installed.read(metadata), installed.label))
    return kept


def _licences(installed: Installed) -> Iterable[Entry]:
    for path in installed.licences():
        inner = path.partition(".dist-info/")[2].removeprefix("licenses/")
        owner = FRAMEWORK_OWNER if installed.name == FRAMEWORK else installed.label
        yield Entry(f"licenses/{installed.name}-{installed.version}/{inner}", installed.read(path), owner)
