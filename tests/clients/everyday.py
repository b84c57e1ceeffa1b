"""What people type every day at the docker command, as scripts that any engine must answer alike.

A scenario is a file of lines for sh, run one after the other in a sandbox with `docker` on its PATH. `$image` is the
image that was loaded. Names are given, so that nothing is random that needn't be; a line whose answer differs between
two runs of one engine is made deterministic by itself.
"""

from pathlib import Path

SCENARIOS = {
    each.stem: each.read_text(encoding="utf-8").splitlines()
    for each in sorted(Path(__file__).with_name("scenarios").glob("*.txt"))
}
"""Lines by name."""
assert SCENARIOS, "scenarios are missing"
