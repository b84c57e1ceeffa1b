"""In which process each part lives."""

from attrs import evolve

from moby.component import COPIED, OUTLIVES, PROGRAM, Arity, Facts
from moby.placement import outliving, placed, processes
from moby.plan import ENGINE, Binding, Instance, Plan, dump, load


def part(name: str, *needs: str, served: bool = False, says: str = "") -> Instance:
    facts = Facts(f"k/{name}", "k", name, "1", 1, "d 1", "m", served=says)
    bindings = {f"p{place}": Binding(Arity.ONE, (f"k/{each}",)) for place, each in enumerate(needs)}
    return Instance("k", name, facts, served=served, bindings=bindings)


def homes(*parts: Instance) -> dict[str, str]:
    plan = placed(Plan("e", parts))
    return {each.name: " ".join(home.removeprefix("k/") for home in each.processes) for each in plan.instances}


def test_all_is_the_engines_where_nobody_is_served() -> None:
    assert homes(part("a"), part("b", "a")) == {"a": ENGINE, "b": ENGINE}


def test_what_only_a_served_part_needs_lives_with_it() -> None:
    found = homes(
        part("deep"), part("runtime", "deep"), part("log"), part("s", "runtime", "log", served=True), part("c", "s")
    )
    assert found == {"deep": "s", "runtime": "s", "log": "s", "s": "s", "c": ENGINE}


def test_one_that_outlives_needs_no_word_of_the_assembly() -> None:
    assert homes(part("r"), part("s", "r", says=OUTLIVES)) == {"r": "s", "s": "s"}


def test_a_program_in_another_language_neither() -> None:
    assert homes(part("v", says=PROGRAM), part("c", "v")) == {"v": "v", "c": ENGINE}


def test_what_two_processes_need_has_one_of_its_own() -> None:
    found = homes(part("inner"), part("db", "inner"), part("s", "db", served=True), part("c", "db", "s"))
    assert found == {"inner": "db", "db": "db", "s": "s", "c": ENGINE}


def test_one_that_holds_nothing_is_in_each() -> None:
    found = homes(
        part("x", says=COPIED), part("s", "x", served=True), part("t", "x", served=True), part("c", "x", "s", "t")
    )
    assert found["x"] == f"{ENGINE} s t"
    assert homes(part("x", says=COPIED)) == {"x": ENGINE}


def test_what_outlives_takes_its_needs_along() -> None:
    plan = placed(
        Plan("e", (part("db"), part("s", "db", says=OUTLIVES), part("o", served=True), part("c", "db", "s", "o")))
    )
    assert processes(plan) == ("k/db", "k/s", "k/o")
    assert outliving(plan) == {"k/db", "k/s"}


def test_a_command_alone_finds_them_where_the_whole_engine_has_them() -> None:
    """Else a command would look for the shared one in the served part's process."""
    plan = placed(Plan("e", (part("db"), part("s", "db", served=True), part("c", "db"), part("v", "s"))))
    alone = plan.closure(frozenset({"k/v"}))
    assert {each.name: each.processes for each in alone.instances}["db"] == ("k/db",)


def test_it_is_written_down() -> None:
    plan = placed(Plan("e", (part("r"), part("s", "r", served=True))))
    data = dump(plan)
    assert load(data) == plan
    for each in data["instances"]:
        del each["processes"]
    older = tuple(evolve(each, processes=(ENGINE,)) for each in plan.instances)
    assert load(data).instances == older
