"""Who may call what: the rules of a front end."""

import io
import os

import pytest
from frontend.fake_parts import FakeImageRegistry
from moby_frontend.docker.access import _SAME, access
from moby_frontend.docker.bounds import bounds
from moby_frontend.docker.call import Call, Client, Query
from moby_frontend.docker.routes import ROUTES, find

from moby.errors import Invalid, MobyError


def test_reading_changes_nothing(serve):
    registry = FakeImageRegistry()
    served = serve(allow="read", image_registry=registry)
    identity = served.containers.create(_config()).id
    for path in (
        "/_ping",
        "/info",
        "/containers/json",
        f"/containers/{identity}/json",
        "/images/json",
        "/events?until=1",
    ):
        assert served.call("GET", path).status == 200, path
    for method, path in (
        ("POST", "/containers/create"),
        ("DELETE", f"/containers/{identity}"),
        ("POST", f"/containers/{identity}/exec"),
        ("GET", f"/containers/{identity}/export"),
        ("GET", f"/containers/{identity}/archive?path=/"),
        ("GET", "/images/box/get"),
        ("GET", "/images/search?term=box"),
        ("GET", "/distribution/registry.internal:5000/box/json"),
    ):
        found = served.call(method, path)
        assert found.status == 403
        assert found.message.startswith(f"authorization denied by plugin allow: {method} {path.partition('?')[0]}")
    assert registry.asked == [], "no registry is asked for who only looks"


def test_asking_registries_can_be_allowed_besides(serve):
    registry = FakeImageRegistry()
    served = serve(allow="read", rules=("allow GET /images/search",), image_registry=registry)
    assert served.call("GET", "/images/search?term=box").status == 200
    assert len(registry.asked) == 1
    assert served.call("GET", "/distribution/box/json").status == 403


def _config():
    from moby.contracts.containers import ContainerConfig

    return ContainerConfig("box", ("true",))


def test_beside_one_with_all_rights_there_is_one_with_fewer(serve):
    full, fewer = serve(), serve(allow="read")
    body = {"Image": "box"}
    assert full.call("POST", "/containers/create", body).status == 201
    assert fewer.call("POST", "/containers/create", body).status == 403
    assert len(fewer.call("GET", "/containers/json?all=1").json()) == 1


def test_nothing_is_ping(serve):
    served = serve(allow="none")
    assert served.call("GET", "/_ping").status == 200
    assert served.call("GET", "/version").status == 403


@pytest.mark.parametrize(
    ("rules", "allow", "status"),
    [
        (("deny POST /containers/create",), "all", 403),
        (("deny GET /containers/*",), "all", 201),
        (("allow POST /containers/create",), "none", 201),
        (('deny POST /containers/create body="Privileged": *true',), "all", 403),
        (('deny POST /containers/create body="Privileged": *false',), "all", 201),
        ((f"deny uid={os.getuid()}",), "all", 403),
        (("deny uid=54321",), "all", 201),
        ((f"allow POST uid=54321,{os.getuid()}",), "none", 201),
        (("deny subject=*",), "all", 403),
        (("deny subject=somebody",), "all", 201),
        (("allow /containers/create", "deny /containers/create"), "none", 201),
    ],
)
def test_the_first_rule_that_fits_decides(serve, rules, allow, status):
    served = serve(allow=allow, rules=rules)
    body = {"Image": "box", "HostConfig": {"Privileged": True}}
    assert served.call("POST", "/containers/create", body).status == status


@pytest.mark.parametrize("rule", ['deny body="Privileged": *true', 'deny body="Privileged":true'])
@pytest.mark.parametrize(
    ("text", "status"),
    [
        (r'{"Image": "box", "HostConfig": {"\u0050rivileged": true}}', 403),
        ('{"Image": "box", "hostconfig": {"privileged":true}}', 403),
        ('{"Image": "box", "HostConfig": {"Privileged" :\n true}}', 403),
        ('{"Image": "box", "HostConfig": {"Privileged": false, "PRIVILEGED": true}}', 403),
        ('{"Image": "box", "HostConfig": {"Privileged": false}}', 201),
        ('{"HostConfig": {"Privileged":true', 403),
    ],
)
def test_no_spelling_of_a_body_passes_a_rule(serve, rule, text, status):
    headers = {"Content-Type": "application/json"}
    assert serve(rules=(rule, "all")).call("POST", "/containers/create", text, headers).status == status


def test_a_body_that_is_not_utf8_is_not_read(serve):
    """Which others that judge it, as plugins, wouldn't read either."""
    served, headers = serve(rules=('deny body="Privileged": *true', "all")), {"Content-Type": "application/json"}
    text = '{"Image": "box", "HostConfig": {"Privileged": true}}'
    for encoding in ("utf-16", "utf-32-le", "utf-8-sig"):
        done = served.call("POST", "/containers/create", text.encode(encoding), headers)
        assert done.status in (400, 403), encoding


@pytest.mark.parametrize("nested", [5_000, 100_000])
def test_a_body_that_is_nested_too_deeply_to_be_judged_is_refused(nested):
    """Also at the depth that whoever reads it then could just read."""
    body = rb'{"HostConfig": {"Privil\u0065ged": true}, "Deep": ' + b"[" * nested + b"]" * nested + b"}"
    found = find("POST", "/containers/create", (1, 43))
    assert found is not None
    call = Call("POST", "/containers/create", Query(""), {}, (1, 43), Client("here"), _Body(body), None)
    with pytest.raises(MobyError, match=r"exceeded max depth|not allowed"):
        access(('deny body="Privileged": *true', "all")).check(found[0], call)


class _Body(io.BytesIO):
    def rest(self, limit):
        return self.read(limit)


def test_what_a_body_allows_is_read_as_it_is_done(serve):
    served = serve(allow="none", rules=('allow POST /containers/create body="Image": "box"',))
    headers = {"Content-Type": "application/json"}
    assert served.call("POST", "/containers/create", r'{"Imag\u0065":"box"}', headers).status == 201
    hidden = '{"Image": "other", "Cmd": ["\\"Image\\": \\"box\\""]}'
    assert served.call("POST", "/containers/create", hidden, headers).status == 403


def test_a_path_is_the_same_however_it_is_spelled(serve):
    served = serve(rules=("deny /info",))
    for path in ("/info", "/%69nfo", "/in%66o"):
        for version in ("", "v1.40"):
            assert served.call("GET", path, version=version).status == 403


@pytest.mark.parametrize("path", ["/containers/json", "/containers/ps", "/networks", "/networks/"])
@pytest.mark.parametrize("said", ["/containers/json", "/containers/ps", "/networks", "/networks/"])
def test_a_rule_about_a_path_is_about_the_other_one_with_the_same_answer(serve, said, path):
    same = said.split("/")[1] == path.split("/")[1]
    assert serve(rules=(f"deny GET {said}",)).call("GET", path).status == (403 if same else 200)
    assert serve(rules=(f"allow GET {said}",), allow="none").call("GET", path).status == (200 if same else 403)


def test_all_paths_with_the_same_answer_are_known():
    handlers = {}
    for each in ROUTES:
        if "{" not in each.pattern:
            handlers.setdefault((each.method, each.handler), set()).add(each.pattern)
    twice = {frozenset(paths) for (_, handler), paths in handlers.items() if len(paths) > 1 and "absent" not in handler}
    assert twice == {frozenset(each) for each in _SAME}


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("some", "begins with neither allow nor deny"),
        ("", "begins with neither allow nor deny"),
        ("deny FETCH", "'FETCH' is neither methods"),
        ("deny uid=root", "is no list of user ids"),
        ("deny body=(", "is no regular expression"),
        ("deny x=y", "'x=y' is neither methods"),
    ],
)
def test_rules_that_are_none(rule, words):
    with pytest.raises(Invalid, match=words):
        access([rule])


@pytest.mark.parametrize(
    "pair", [("1.23", "1.40"), ("1.40", "1.99"), ("1.45", "1.40"), ("x", "1.40"), ("1.40", "v1.45")]
)
def test_versions_that_are_none(pair):
    with pytest.raises(Invalid):
        bounds(*pair)


def test_each_route_has_a_handler():
    import importlib

    for route in ROUTES:
        module, _, function = route.handler.partition(".")
        assert callable(getattr(importlib.import_module(f"moby_frontend.docker.handlers.{module}"), function))
