"""The manifest in docs/manifest.md assembles."""

import re
from pathlib import Path

from moby import manifest, registry, resolver

PAGE = Path(__file__).resolve().parents[2] / "docs" / "manifest.md"


def test_example_resolves(tmp_path: Path) -> None:
    (example,) = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    file = tmp_path / "ci-runner.yaml"
    file.write_text(example)
    assembly = manifest.load(str(file))
    plan = resolver.resolve(assembly, registry.discover())
    assert plan.get("runtime/native") is not None
    assert assembly.distribution.budget_bytes == 5_000_000
