"""Parts that would have to have processes of their own, since others need them in several, and can't."""

from collections.abc import Iterator, Mapping, Sequence

from moby.component import OUTLIVES, PROGRAM
from moby.placement import OWN, UNSERVED, homes
from moby.resolver.findings import Finding, Step, listed
from moby.resolver.part import Part

__all__ = ["findings"]


def findings(parts: Mapping[str, Part], needs: Mapping[str, Sequence[str]]) -> Iterator[Finding]:
    """Say which parts are needed in several processes and can't be called from another one."""
    says = {
        key: OWN if part.choice is not None and part.choice.served else part.facts.served for key, part in parts.items()
    }
    if not any(each in (OWN, OUTLIVES, PROGRAM) for each in says.values()):
        return
    ordered = {key: needs[key] for key in _in_order(needs)}
    where = homes(ordered, says)
    for key in sorted(ordered):
        part = parts[key]
        if part.kind in UNSERVED and where[key] == (key,) and says[key] != OWN:
            yield _finding(part, {user: where[user] for user in ordered if key in needs[user]}, parts)


def _finding(part: Part, users: Mapping[str, tuple[str, ...]], parts: Mapping[str, Part]) -> Finding:
    apart = [parts[key] for key in sorted({home for homes in users.values() for home in homes} & parts.keys())]
    served = next((each for each in apart if each.choice is not None and each.choice.served), None)
    path = f"{served.choice.path}.served" if served is not None and served.choice is not None else part.path()
    steps = [*part.because()]
    for user, processes in sorted(users.items()):
        steps.append(Step(f"{user} needs it in the process of {listed(processes)}"))
    for each in apart:
        if each.choice is not None and each.choice.served:
            steps.append(Step(f"{each.key} is to be served", f"{each.choice.path}.served"))
    message = f"{part.key} is needed in several processes, and can't be served: {UNSERVED[part.kind]}"
    kinds = (*(each.kind for each in apart), part.kind)
    return Finding("apart", (part.key,), message, path, tuple(steps), tuple(dict.fromkeys(kinds)))


def _in_order(needs: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the keys so that each comes after what it needs, as far as nothing goes in a circle."""
    order: list[str] = []
    seen: set[str] = set()
    for root in needs:
        stack = [(root, iter(needs[root]))] if root not in seen else []
        seen.add(root)
        while stack:
            key, rest = stack[-1]
            target = next((each for each in rest if each not in seen), None)
            if target is None:
                order.append(key)
                stack.pop()
            else:
                seen.add(target)
                stack.append((target, iter(needs[target])))
    return order
