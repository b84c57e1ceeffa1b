"""Manifests: YAML files that choose the parts of an engine.

How layers are merged: what a manifest extends comes first, in order and each file once, then the manifest, then
each `--set`. A later layer is laid over the earlier ones:

- Maps merge, key by key. Scalars and lists replace. Null removes what was inherited; removing what never was there is
  an error, removing again what was removed is not.
- `KIND: null` removes the kind, and says that it shall not be filled. In a manifest that extends nothing it just says
  the latter. A later layer may choose the kind again.
- A part is known by its name in its kind: `as`, else `use`.
- `KIND: NAME` and `KIND: [...]` say which parts there are: those and no others. One that was inherited under the same
  name and with the same `use` begins as it was inherited, and what is said merges into it.
- `KIND: {...}` as one part changes the inherited part that it addresses, and leaves others alone. It addresses by
  `as`; without `as` the part named like its `use`, else the one part with that `use`; without either the only part
  there is. If it addresses none, it takes the place of all parts of the kind.
- `KIND: {NAME: {...}, OTHER: null}`, with names of inherited parts, changes and removes parts by their names.
- Another `use` under the same name begins anew: nothing of the old part is kept.
- `default: true` in a later layer takes the mark from the part that had it.
- `{open: default}` as the value of an option is a scalar.

Unquoted scalars that YAML 1.1 and 1.2 read differently are refused (`no`, `0755`, `22:22`).
"""

from moby.manifest.assembly import Assembly, Choice, DistributionChoice, Policy, Removal, Setting
from moby.manifest.reading import Reading, load, read
from moby.manifest.sources import shipped

__all__ = [
    "Assembly", "Choice", "DistributionChoice", "Policy", "Reading", "Removal", "Setting", "load", "read", "shipped",
]  # fmt: skip
