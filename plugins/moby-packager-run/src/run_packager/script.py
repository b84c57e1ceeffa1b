"""The script: a few lines of sh, and the archive behind them."""

from pathlib import Path

from attrs import frozen
from moby.contracts.packager import FORMAT, Artifact, Source

__all__ = ["Run"]

HEAD = """\
#!/bin/sh
# Installs {name} into PREFIX/lib/moby/{name}, and a link to it into PREFIX/bin.
set -eu
prefix={prefix}
while [ $# -gt 0 ]; do
    case "$1" in
        --prefix) prefix="$2"; shift 2 ;;
        --remove) remove=1; shift ;;
        *) echo "usage: $0 [--prefix DIR] [--remove]" >&2; exit 2 ;;
    esac
done
place="$prefix/lib/moby/{name}"
if [ "${{remove:-}}" ]; then
    rm -rf "$place" "$prefix/bin/{name}"
    exit
fi
for tool in tar zstd; do
    command -v "$tool" >/dev/null || {{ echo "$0 needs $tool" >&2; exit 3; }}
done
mkdir -p "$prefix/lib/moby" "$prefix/bin"
fresh=$(mktemp -d "$prefix/lib/moby/.{name}.XXXXXX")
trap 'rm -rf "$fresh"' EXIT
tail -c +{begin:08} "$0" | zstd -dcq | tar -C "$fresh" -xf -
rm -rf "$place"
mv "$fresh/{name}" "$place"
ln -sf "../lib/moby/{name}/bin/{name}" "$prefix/bin/{name}"
exit
"""


@frozen
class Run:
    """Builds the script; as a value it can be used from many threads."""

    prefix: str = "/usr/local"

    def build(self, source: Source, out: Path) -> Artifact:
        """Write `NAME.run`, executable."""
        assert source.given is not None, "the component says what it takes"
        archive = source.given.path().read_bytes()
        begin = len(HEAD.format(name=source.name, prefix=self.prefix, begin=0)) + 1
        head = HEAD.format(name=source.name, prefix=self.prefix, begin=begin).encode()
        path = Path(f"{source.name}.run")
        (out / path).write_bytes(head + archive)
        (out / path).chmod(0o755)
        sizes = dict(source.given.artifact.sizes_bytes)
        return Artifact((path,), {**sizes, FORMAT: sizes.get(FORMAT, 0) + len(head)})
