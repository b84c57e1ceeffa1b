"""The framework's own wheel gets the facts of its components by the hook that it offers to plugins."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from moby.build_hook import ComponentsHook

__all__ = ["ComponentsHook"]
