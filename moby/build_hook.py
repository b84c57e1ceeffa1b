"""A build hook for hatchling that writes the facts of a plugin's components into its wheel.

A plugin asks for it with an empty table `[tool.hatch.build.hooks.moby]` and `moby-framework` among the requirements
of its build system. Discovery then neither imports nor inspects the plugin (hatch.pypa.io, "Build hook plugins").
"""

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.plugin import hookimpl

from moby.component import Facts, load_facts
from moby.errors import Invalid, Problem
from moby.hookspecs import ENTRY_POINTS
from moby.registry import facts_file
from moby.registry.inspection import inspect
from moby.registry.installed import Entry

__all__ = ["ComponentsHook", "hatch_register_build_hook"]


class ComponentsHook(BuildHookInterface[Any]):
    """Writes the facts of the components that a project's entry points name."""

    PLUGIN_NAME = "moby"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Inspect the plugin modules and add the facts to the wheel; Invalid says what is wrong with which module.

        An editable wheel gets none, since they would grow stale.
        """
        if self.target_name != "wheel" or version == "editable":
            return
        text = facts_file.text_of(self._facts())
        self._folder = Path(tempfile.mkdtemp(prefix="moby-facts-"))
        file = self._folder / facts_file.NAME
        file.write_text(text, encoding="utf-8")
        build_data["extra_metadata"][str(file)] = facts_file.NAME

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the draft that the wheel was made from."""
        folder = getattr(self, "_folder", None)
        if folder is not None:
            shutil.rmtree(folder)

    def _facts(self) -> list[Facts]:
        entries = [Entry(name, module) for name, module in self._entry_points().items()]
        if not entries:
            raise Invalid(
                f"{self.metadata.core.raw_name} has no entry points for components",
                hint=f'name its plugin modules under [project.entry-points."{ENTRY_POINTS}"] in pyproject.toml',
            )
        label = f"{self.metadata.core.raw_name} {self.metadata.version}"
        findings = inspect(label, entries, self._path())
        problems = tuple(Problem(f"{each.module}: {each.error}") for each in findings if each.error)
        if problems:
            raise Invalid(f"the components of {label} can't be read", problems=problems)
        return [load_facts(facts) for each in findings for facts in each.facts]

    def _entry_points(self) -> dict[str, str]:
        found: dict[str, str] = self.metadata.core.entry_points.get(ENTRY_POINTS, {})
        return found

    def _path(self) -> list[str]:
        """Return the import path on which the project's packages are found where they lie in its tree."""
        root = Path(self.root)
        parents = [(root / each).parent for each in self.build_config.packages]
        folders = [*parents, *(root / each for each in self.build_config.dev_mode_dirs), root, root / "src"]
        return list(dict.fromkeys([*(str(each.resolve()) for each in folders if each.is_dir()), *sys.path]))


@hookimpl
def hatch_register_build_hook() -> type[ComponentsHook]:
    """Offer the hook to hatchling."""
    return ComponentsHook
