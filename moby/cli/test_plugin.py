"""`moby test-plugin`: which promises of their contracts a plugin's components keep."""

import json
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from moby.cli import parameters

if TYPE_CHECKING:
    from moby.component import Facts
    from moby.registry import Catalog

_CHILD = """
import sys
from moby.registry.enclosure import enclose
def work():
    from moby.testing.conformance import main
    main(*sys.argv[1:])
enclose(work)
"""
GRACE_S = 7.0
"""For a suite to end all that it started."""
MARKS = {"ok": "ok", "failed": "FAILED", "refused": "refused", "skipped": "skipped"}


@click.command("test-plugin")
@click.argument("plugin", metavar="DIR_OR_DISTRIBUTION")
@parameters.kind("Just the components of one kind.")
@click.option("--served", is_flag=True, help="Run each component in a process of its own, as `served: true` does.")
@click.option(
    "--time-limit", default=900.0, show_default=True, metavar="SECONDS", help="Time limit for each component."
)
@parameters.as_json("Print the report as JSON.")
def command(plugin: str, kind: str, served: bool, time_limit: float, as_json: bool) -> None:
    """Run the conformance suite of each component's kind against a plugin: a folder, or an installed distribution.

    Every part is made as an engine would make it, with options at their defaults, in temporary folders. Exits with 1
    if a promise is broken. To refuse one with Unsupported, by name, doesn't count as breaking it.
    """
    from moby.cli import output
    from moby.errors import NotFound

    _require_pytest()
    found, catalog, path = _in_folder(Path(plugin)) if Path(plugin).is_dir() else _installed(plugin)
    chosen = [each for each in found if kind in ("", each.kind)]
    if not chosen:
        raise NotFound(
            f"{plugin} brings no component of the kind {kind!r}",
            hint=f"it brings {', '.join(each.id for each in found) or 'none'}",
        )
    reports = [_report(each, catalog, path, time_limit, served=served) for each in chosen]
    ok = not any(each["outcome"] == "failed" for report in reports for each in report["promises"])
    if as_json:
        output.emit_json({"schema": 1, "ok": ok, "components": reports})
    else:
        _print(reports)
    if not ok:
        raise click.exceptions.Exit(1)


def _require_pytest() -> None:
    from importlib.util import find_spec

    from moby.errors import HostUnfit

    if find_spec("pytest") is None:
        raise HostUnfit(
            "conformance suites need pytest, which isn't installed", hint="pip install 'moby-framework[testing]'"
        )


def _installed(name: str) -> "tuple[list[Facts], Catalog, list[str]]":
    """Return the components of an installed distribution."""
    from moby.cli import session
    from moby.errors import NotFound
    from moby.registry.installed import canonical

    catalog = session.catalog()
    wanted = canonical(name)
    found = [each for each in catalog.components.values() if canonical(each.distribution.partition(" ")[0]) == wanted]
    if found:
        return found, catalog, []
    reasons = [str(each) for each in catalog.broken if canonical(each.distribution.partition(" ")[0]) == wanted]
    if reasons:
        raise NotFound("; ".join(reasons), hint="mend that first")
    known = sorted({each.distribution.partition(" ")[0] for each in catalog.components.values()})
    listed = ", ".join(known) or "none"
    raise NotFound(
        f"no folder and no installed plugin {name!r}; installed: {listed}", hint="name one of these, or a folder"
    )


def _in_folder(folder: Path) -> "tuple[list[Facts], Catalog, list[str]]":
    """Return the components of a plugin's source folder, which need not be installed."""
    from attrs import evolve

    from moby.cli import session
    from moby.component import load_facts
    from moby.errors import Invalid, Problem
    from moby.hookspecs import ENTRY_POINTS
    from moby.registry.inspection import inspect
    from moby.registry.installed import Entry

    project = _project(folder)
    entries = [Entry(name, module) for name, module in project.get("entry-points", {}).get(ENTRY_POINTS, {}).items()]
    if not entries:
        raise Invalid(
            f"{folder}/pyproject.toml names no components",
            hint=f'list its plugin modules under [project.entry-points."{ENTRY_POINTS}"]',
        )
    path = [str(each.resolve()) for each in (folder / "src", folder / "components", folder) if each.is_dir()]
    label = f"{project.get('name', folder.name)} {project.get('version', '0')}"
    findings = inspect(label, entries, [*path, *sys.path])
    problems = tuple(Problem(f"{each.module}: {each.error}") for each in findings if each.error)
    if problems:
        raise Invalid(f"the components of {folder} can't be read", problems=problems)
    facts = [load_facts(each) for finding in findings for each in finding.facts]
    catalog = session.catalog()
    components = {**catalog.components, **{each.id: each for each in facts}}
    return facts, evolve(catalog, components=dict(sorted(components.items()))), path


def _project(folder: Path) -> dict[str, Any]:
    from moby.errors import Invalid, NotFound

    file = folder / "pyproject.toml"
    try:
        project: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8")).get("project", {})
    except FileNotFoundError:
        raise NotFound(
            f"{folder} is no plugin: it has no pyproject.toml", hint="moby new plugin NAME makes one"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"{file}: {error}") from error
    return project


def _report(
    facts: "Facts", catalog: "Catalog", path: Sequence[str], time_limit_s: float, *, served: bool
) -> dict[str, Any]:
    """Test one component in a process of its own."""
    from moby.errors import Invalid
    from moby.plan import dump
    from moby.resolution import alone

    def unfit(reason: str) -> dict[str, Any]:
        promise = {"test": "", "promise": "it can be tested", "outcome": "skipped", "reason": reason}
        return {"component": facts.id, "promises": [promise]}

    try:
        plan = alone(facts.id, catalog)
    except Invalid as error:
        return unfit(f"an engine with it can't be resolved: {str(error).splitlines()[0]}")
    with tempfile.TemporaryDirectory(prefix="moby-conformance-") as temporary:
        # Suites that become another user must get at the folder.
        Path(temporary).chmod(0o755)
        spec, report = Path(temporary, "spec.json"), Path(temporary, "report.json")
        spec.write_text(json.dumps({"plan": dump(plan), "key": facts.id, "served": served}), encoding="utf-8")
        said = _child([spec, report], path, time_limit_s)
        if not report.exists():
            failed = {"test": "", "promise": "its suite ends", "outcome": "failed", "reason": said}
            return {"component": facts.id, "promises": [failed]}
        promises: list[Mapping[str, Any]] = json.loads(report.read_bytes())
    return {"component": facts.id, "promises": promises} if promises else unfit(f"there is no suite for {facts.kind}")


def _child(arguments: Sequence[Path], path: Sequence[str], time_limit_s: float) -> str:
    """Run a suite, and return the end of what it said; what it started ends with it."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*path, *filter(None, sys.path)])}
    child = subprocess.Popen(
        [sys.executable, "-P", "-c", _CHILD, *map(str, arguments)],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = child.communicate(timeout=time_limit_s)
    except subprocess.TimeoutExpired:
        return f"it took longer than {time_limit_s:g} s"
    finally:
        child.terminate()
        try:
            child.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        if child.stdout is not None:
            child.stdout.close()
    lines = [line for line in said.splitlines() if line.strip()]
    return lines[-1] if lines else f"it ended with {child.returncode}"


def _print(reports: Sequence[Mapping[str, Any]]) -> None:
    for report in reports:
        promises = report["promises"]
        click.echo(report["component"])
        for each in promises:
            reason = f" ({each['reason']})" if each["reason"] else ""
            click.echo(f"  {MARKS[each['outcome']]:8}{each['promise']}{reason}")
        counts = {name: sum(each["outcome"] == name for each in promises) for name in MARKS}
        click.echo("  " + ", ".join(f"{count} {name}" for name, count in counts.items()))
