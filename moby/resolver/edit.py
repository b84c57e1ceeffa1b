"""Single edits of a manifest, as the user would type them, each as values."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from attrs import evolve, frozen

from moby import options
from moby.component import Facts
from moby.manifest.assembly import Choice, Policy, Removal
from moby.resolver.conflict import TARGET, Case
from moby.resolver.findings import nearest

__all__ = ["Edit", "edits"]

# What changes least of what the user wants comes first.
MISSPELT, UNDO, ADD, LOOSEN, REPLACE, POLICY, DROP, ANYWHERE = range(8)


@frozen
class Edit:
    """One edit: how to type it, how much it takes away, and what it comes to."""

    text: str
    rank: tuple[int, int, str]
    """Sorts edits, the mildest first."""
    without: tuple[Choice | Removal, ...] = ()
    adding: tuple[Choice | Removal, ...] = ()
    anywhere: bool = False
    """Whether the target host is given up."""

    def apply(self, case: Case) -> Case:
        """Return the case that it makes."""
        gone = {each.path for each in self.without}
        choices = [choice for choice in case.assembly.choices if choice.path not in gone]
        removals = [removal for removal in case.assembly.removals if removal.path not in gone]
        choices += [each for each in self.adding if isinstance(each, Choice)]
        removals += [each for each in self.adding if isinstance(each, Removal)]
        choices.sort(key=lambda choice: (choice.kind, choice.name))
        removals.sort(key=lambda removal: removal.kind)
        assembly = evolve(case.assembly, choices=tuple(choices), removals=tuple(removals))
        return Case(assembly, case.index.anywhere() if self.anywhere else case.index)


def edits(case: Case, kinds: Iterable[str]) -> list[Edit]:
    """Return the single edits that touch some kinds, mildest first, then as the kinds come; none of them is tried."""
    found: list[tuple[tuple[int, int, int, str], Edit]] = []
    for position, kind in enumerate(dict.fromkeys(kinds)):
        for edit in _of_kind(case, kind):
            rank, second, name = edit.rank
            # To replace a part that asks for something else is to drop it: another part does another job.
            if position and rank == REPLACE:
                rank, second = DROP, 2
            found.append(((rank, position, second, name), edit))
    if case.index.target is not None:
        text = f"resolve for any host: `target: any`{_at(case, TARGET)}"
        anywhere = Edit(text, (ANYWHERE, 0, ""), anywhere=True)
        found.append(((ANYWHERE, 0, 0, ""), anywhere))
    return [edit for _, edit in sorted(found, key=lambda ranked: ranked[0])]


def _of_kind(case: Case, kind: str) -> Iterator[Edit]:
    for choice in case.assembly.choices:
        if choice.kind == kind:
            yield from _of_choice(case, choice)
    for removal in case.assembly.removals:
        if removal.kind == kind:
            yield from _of_removal(case, removal)
    yield from _of_kind_as_a_whole(case, kind)
    yield from _additions(case, kind)


def _of_choice(case: Case, choice: Choice) -> Iterator[Edit]:
    named = case.index.named(choice.kind)
    yield from _replaced(case, choice, named)
    facts = named.get(choice.use)
    if facts is not None:
        yield from _loosened(case, choice, facts)
        yield from _options(case, choice, facts)
    yield from _marked(case, choice)
    key = f"{choice.kind}/{choice.name}"
    text = f"drop {key}{_at(case, choice.path)}"
    yield Edit(text, (DROP, 0, key), (choice,))


def _of_kind_as_a_whole(case: Case, kind: str) -> Iterator[Edit]:
    """Rename a kind that isn't known; keep one of several, or none."""
    chosen = [choice for choice in case.assembly.choices if choice.kind == kind]
    at = _at(case, f"components.{kind}")
    if chosen and kind not in case.index.kinds:
        near = nearest(kind, case.index.kinds)
        known = case.index.parts.items()
        so_named = {name for name, parts in known if all(choice.use in parts for choice in chosen)}
        for new in sorted(({near} | so_named) - {""} - _kinds(case)):
            renamed = tuple(evolve(choice, kind=new) for choice in chosen)
            text = f"write `{new}:` instead of `{kind}:`{at}"
            yield Edit(text, (MISSPELT, int(new != near), new), tuple(chosen), renamed)
    # Packagers are listed by their formats, and a manifest has no kind to drop there.
    if len(chosen) > 1 and kind != "packager":
        for choice in chosen if len(chosen) > 2 and not case.index.many(kind) else ():
            others = tuple(other for other in chosen if other is not choice)
            yield Edit(f"keep just `{choice.name}` of `{kind}`{at}", (DROP, 0, choice.name), others)
        yield Edit(f"drop `{kind}`{at}", (ANYWHERE, 1, kind), tuple(chosen))


def _replaced(case: Case, choice: Choice, named: Mapping[str, Facts]) -> Iterator[Edit]:
    taken = {other.name for other in case.assembly.choices if other.kind == choice.kind}
    near = nearest(choice.use, named) if choice.use not in named else ""
    for use in sorted(named):
        name = use if choice.name == choice.use else choice.name
        if use == choice.use or (name != choice.name and name in taken):
            continue
        rank = (MISSPELT if use == near else REPLACE, int(not named[use].preferred), use)
        text = f"write `{use}` instead of `{choice.use}`{_at(case, f'{choice.path}.use')}"
        yield Edit(text, rank, (choice,), (evolve(choice, use=use, name=name),))
        if choice.version or choice.config or choice.open:
            plain = Choice(choice.kind, use, name, default=choice.default, policy=choice.policy)
            text = f"{text}, without its version and config"
            yield Edit(text, (REPLACE, rank[1] + 2, use), (choice,), (plain,))


def _loosened(case: Case, choice: Choice, facts: Facts) -> Iterator[Edit]:
    key = f"{choice.kind}/{choice.name}"
    if choice.version:
        at = _at(case, f"{choice.path}.version")
        text = f'write `version: ">={facts.version}"` instead of `version: "{choice.version}"`{at}'
        yield Edit(text, (LOOSEN, 0, key), (choice,), (evolve(choice, version=f">={facts.version}"),))
        text = f'drop `version: "{choice.version}"` of {key}{at}'
        yield Edit(text, (LOOSEN, 1, key), (choice,), (evolve(choice, version=""),))
    if choice.served:
        text = f"drop `served: true` of {key}{_at(case, f'{choice.path}.served')}"
        yield Edit(text, (UNDO, 0, key), (choice,), (evolve(choice, served=False),))
    if case.index.target is not None and choice.policy is Policy.REQUIRED:
        for policy in (Policy.SKIP_IF_UNFIT, Policy.OPTIONAL):
            text = f"add `policy: {policy.value}` to {key}{_at(case, choice.path)}"
            yield Edit(text, (POLICY, int(policy is Policy.OPTIONAL), key), (choice,), (evolve(choice, policy=policy),))


def _options(case: Case, choice: Choice, facts: Facts) -> Iterator[Edit]:
    """Rename, replace or drop the options that are wrong."""
    known = {option.name: option for option in facts.options}
    given: dict[str, Any] = {**choice.config, **choice.open}
    wrong = {path.partition(".")[0] for path, _ in options.problems(facts.options, given)}
    for name in sorted(wrong):
        path = f"{choice.path}.config.{name}"
        near = nearest(name, known) if name not in known else ""
        if near and near not in given:
            text = f"rename option `{name}` of {choice.kind}/{choice.name} to `{near}`{_at(case, path)}"
            yield Edit(text, (MISSPELT, 0, near), (choice,), (_option(choice, name, near),))
        if name in given:
            text = f"drop option `{name}` of {choice.kind}/{choice.name}{_at(case, path)}"
            yield Edit(text, (LOOSEN, 1, name), (choice,), (_option(choice, name, ""),))
        values = known[name].schema.get("enum", ()) if name in known else ()
        close = nearest(str(given.get(name, "")), map(str, values))
        for value in values:
            text = f"write `{name}: {value}`{_at(case, path)}"
            if name in choice.open:
                changed = evolve(choice, open={**choice.open, name: value})
            else:
                changed = evolve(choice, config={**choice.config, name: value})
            rank = (MISSPELT if str(value) == close else LOOSEN, 0, str(value))
            yield Edit(text, rank, (choice,), (changed,))


def _option(choice: Choice, name: str, new: str) -> Choice:
    """Rename an option, or drop it where the new name is empty."""

    def changed(values: Mapping[str, Any]) -> dict[str, Any]:
        renamed = {new if key == name else key: value for key, value in values.items()}
        return {key: value for key, value in renamed.items() if key}

    return evolve(choice, config=changed(choice.config), open=changed(choice.open))


def _marked(case: Case, choice: Choice) -> Iterator[Edit]:
    key = f"{choice.kind}/{choice.name}"
    if choice.default:
        text = f"drop `default: true` of {key}{_at(case, f'{choice.path}.default')}"
        yield Edit(text, (UNDO, 1, key), (choice,), (evolve(choice, default=False),))
        return
    others = [other for other in case.assembly.choices if other.kind == choice.kind and other is not choice]
    marked = [other for other in others if other.default]
    new = evolve(choice, default=True)
    if len(marked) == 1:
        text = f"move `default: true` from {choice.kind}/{marked[0].name} to {key}{_at(case, choice.path)}"
        unmarked = evolve(marked[0], default=False)
        yield Edit(text, (UNDO, 0, key), (choice, marked[0]), (new, unmarked))
    elif others:
        yield Edit(f"add `default: true` to {key}{_at(case, choice.path)}", (UNDO, 0, key), (choice,), (new,))


def _of_removal(case: Case, removal: Removal) -> Iterator[Edit]:
    kind, at = removal.kind, _at(case, removal.path)
    yield Edit(f"drop `{kind}: null`{at}", (UNDO, 0, kind), (removal,))
    near = nearest(kind, case.index.kinds) if kind not in case.index.kinds else ""
    if near and near not in _kinds(case):
        text = f"write `{near}: null` instead of `{kind}: null`{at}"
        yield Edit(text, (MISSPELT, 0, near), (removal,), (Removal(near),))
    for use, facts in sorted(case.index.named(kind).items()):
        text = f"write `{kind}: {use}` instead of `{kind}: null`{at}"
        yield Edit(text, (ADD, int(not facts.preferred), use), (removal,), (Choice(kind, use, use),))


def _additions(case: Case, kind: str) -> Iterator[Edit]:
    """Add a part of a kind that isn't removed and has room."""
    present = [choice for choice in case.assembly.choices if choice.kind == kind]
    removed = any(removal.kind == kind for removal in case.assembly.removals)
    if removed or (present and not case.index.many(kind)):
        return
    taken = {choice.name for choice in present}
    at = _at(case, f"components.{kind}" if present else "components")
    for use, facts in sorted(case.index.named(kind).items()):
        if use in taken:
            continue
        text = f"add `{use}` to `{kind}`{at}" if present else f"add `{kind}: {use}` to `components`{at}"
        rank = (ADD, int(not facts.preferred), use)
        yield Edit(text, rank, (), (Choice(kind, use, use),))
        if present and not any(choice.default for choice in present):
            text = f"add `{{use: {use}, default: true}}` to `{kind}`{at}"
            yield Edit(text, (ADD, rank[1] + 2, use), (), (Choice(kind, use, use, default=True),))


def _kinds(case: Case) -> frozenset[str]:
    choices, removals = case.assembly.choices, case.assembly.removals
    return frozenset({choice.kind for choice in choices} | {removal.kind for removal in removals})


def _at(case: Case, path: str) -> str:
    where = case.assembly.where(path)
    if where:
        return f" at {where}"
    return f" of {case.assembly.files[-1]}" if path == "components" and case.assembly.files else ""
