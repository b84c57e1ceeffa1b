"""Instructions in any order come to a plan, the same each time, or to an error that says why."""

from frontend_parts import IMAGES, OTHERS, Answers, cases, written
from hypothesis import given, settings
from hypothesis import strategies as st
from moby_builder.dockerfile.frontend.planning import plan
from moby_builder.dockerfile.language import parser
from moby_builder.dockerfile.operations import ancestors

from moby.contracts.builder import Request
from moby.errors import MobyError


def _pieces():
    """Yield each FROM and each instruction of the cases that come to something, whole, as it is written."""
    for case in cases():
        if case.graph and case.name not in ("escape", "windows-lines"):
            file = parser.parse(case.dockerfile)
            lines = file.source.split("\n")
            for stage in file.stages:
                for each in (stage.origin, *stage.instructions):
                    yield "\n".join(lines[each.written.range.first - 1 : each.written.range.last])


_ALL = sorted(set(_pieces()))
_FROM = [each for each in _ALL if each.upper().startswith("FROM ")]
_REST = [each for each in _ALL if each not in _FROM]
_STAGE = st.tuples(st.sampled_from(_FROM), st.lists(st.sampled_from(_REST), max_size=6)).map(lambda it: [it[0], *it[1]])
FILES = st.tuples(
    st.lists(st.sampled_from([each for each in _REST if each.startswith("ARG ")]), max_size=2),
    st.lists(_STAGE, min_size=1, max_size=4),
).map(lambda it: "\n".join([*it[0], *(line for stage in it[1] for line in stage)]) + "\n")
REQUESTS = st.builds(
    Request,
    target=st.sampled_from(["", "", "a", "0", "build"]),
    arguments=st.dictionaries(st.sampled_from(["X", "A", "NAME", "TARGETARCH", "http_proxy"]), st.text(max_size=3)),
    contexts=st.dictionaries(
        st.sampled_from(["a", "localhost/box", "build"]),
        st.sampled_from(["local:l", "docker-image://localhost/rich:1", "docker-image://scratch"]),
        max_size=1,
    ),
    no_cache=st.booleans(),
    allow=st.just(frozenset({"network.host", "security.insecure"})),
)


def _made(file, request):
    try:
        return plan(request, Answers({"dockerfile": {"Dockerfile": file.encode()}}, IMAGES | OTHERS))
    except MobyError as error:
        assert error.message
        return None


@settings(max_examples=300, deadline=None)
@given(FILES, REQUESTS)
def test_any_file_comes_to_a_plan_or_says_why_not(file, request):
    first, second = _made(file, request), _made(file, request)
    assert (first is None) == (second is None)
    if first is None:
        return
    assert written(first) == written(second)
    (target,) = first.targets
    nodes = list(ancestors(target.root))
    known = {each.digest for each in nodes}
    assert len({id(each) for each in nodes}) == len(known)
    filled = [each for each in target.config["history"] if not each.get("empty_layer")]
    depth, node = 0, target.root
    while node.inputs:
        depth, node = depth + 1, node.inputs[0]
    assert depth == len(filled)
