"""Each mutant breaks one promise of the discovery's contract; the suite must see it."""

import itertools
import os

import pytest
from attrs import evolve
from moby_discovery.dns import forwarder, messages, names, ports, server, service, upstream
from test_discovery_dns import Process

from moby.errors import Conflict
from moby.testing.discovery import Given, NamesSuite, PortsSuite
from moby.testing.net_namespaces import new_network, own_network


class Broken:
    def __init__(self, inner):
        self.inner = inner

    def __getattr__(self, name):
        return getattr(self.inner, name)


def wrapped(**methods):
    """Return a mutant whose methods are others; each gets the part, then its arguments."""

    def wrap(part):
        broken = Broken(part)
        for name, method in methods.items():
            setattr(broken, name, lambda *args, method=method, **more: method(part, *args, **more))
        return broken

    return lambda patch: wrap


def patched(where, name, value):
    """Return a mutant of the part's own code."""

    def mutate(patch):
        patch.setattr(where, name, value(getattr(where, name)))
        return lambda part: part

    return mutate


def silent(part):
    broken = Broken(part)
    broken.serves_names = False
    return broken


def each_otherwise(**values):
    """Enter with presences that are other than asked for."""
    return lambda part, sandbox, namespace, presences, resolver=None: part.enter(
        sandbox, namespace, [evolve(each, **values) for each in presences], resolver
    )


def resolved_otherwise(change):
    """Enter with a resolver that is other than asked for."""
    return lambda part, sandbox, namespace, presences, resolver=None: part.enter(
        sandbox, namespace, presences, resolver and evolve(resolver, **change(resolver))
    )


def claimed_otherwise(change):
    """Claim other than was asked for."""
    return lambda part, sandbox, requests: part.claim(sandbox, [evolve(each, **change(each)) for each in requests])


def enter_once(part, sandbox, namespace, presences, resolver=None):
    if sandbox not in part._known:
        part.enter(sandbox, namespace, presences, resolver)


def enter_with_namespace(part, sandbox, namespace, *rest):
    if namespace is not None:
        part.enter(sandbox, namespace, *rest)


def claim_ipv4_only(part, sandbox, requests):
    return tuple(each for each in part.claim(sandbox, requests) if ":" not in each.host_address)


def claim_and_release(part, sandbox, requests):
    found = part.claim(sandbox, requests)
    part.leave(sandbox)
    return found


def claim_what_is_free(part, sandbox, requests):
    try:
        return part.claim(sandbox, requests)
    except Conflict:
        return part.claim(sandbox, [evolve(each, first=0, last=0) for each in requests])


def claim_half(part, sandbox, requests):
    try:
        return part.claim(sandbox, requests)
    except Conflict:
        part.claim(sandbox, requests[:1])
        raise


def nothing(*_, **__):
    return None


def ignored(before):
    return nothing


def at_times(before):
    calls = itertools.count()
    return lambda self: None if next(calls) % 8 else before(self)


def own_port(before):
    return lambda namespace, log: service.listening.in_namespace(namespace, lambda: service.listening._bound(53))


def first_of_all(before):
    return lambda question, values, **more: before(question, values[:1], **more)


def untruncated(before):
    return lambda question, values, **_: before(question, values)


def name_errors(before):
    def answer(question, values, **more):
        return before(question, values, **more) if question.kind in (1, 12) else messages.failure(question, 3)

    return answer


def swapped_case(before):
    return lambda data: (found := before(data)) and found._replace(name=found.name.swapcase())


def lower_question(before):
    return lambda data: (found := before(data)) and found._replace(section=found.section.lower())


def same_address(before):
    return lambda name: before(name) and "10.0.0.2"


def first_address(before):
    return lambda *args: before(*args)[:1]


def closed_at_once(before):
    return lambda self, room, _: room.tcp.accept()[0].close()


def closes_at_nonsense(before):
    def respond(self, room, data, *more):
        before(self, room, data, *more) if messages.parse(data) else self.close(room.sandbox)

    return respond


def one_way_ends_all(patch):
    patch.setattr(forwarder, "all", any, raising=False)
    return lambda part: part


def adds_up(before):
    return lambda self, name, claims: before(self, name, {**self._claims.get(name, {}), **claims})


def close_instead(self, sandbox, record, fds):
    for fd in fds:
        os.close(fd)


def another_of_each_family(before):
    """Choose for each address by itself."""

    def claim(self, requests, held):
        wanted = [
            evolve(each, host_address=address)
            for each in requests
            for address in ([each.host_address] if each.host_address or each.first else ["0.0.0.0", "::"])
        ]
        return before(self, wanted, held)

    return claim


_kept = []
N, P = NamesSuite, PortsSuite
MUTANTS = (
    ("silent", lambda patch: silent, N.test_it_serves_names),
    ("no-addresses", wrapped(enter=each_otherwise(addresses=())), N.test_others_are_found),
    ("case", patched(messages, "parse", swapped_case), N.test_others_are_found),
    ("no-tcp", patched(server.Server, "_accept", closed_at_once), N.test_others_are_found),
    ("lower-question", patched(messages, "parse", lower_question), N.test_others_are_found),
    ("name-error", patched(messages, "answer", name_errors), N.test_what_a_name_hasn_t),
    ("one-network", wrapped(enter=each_otherwise(network_id="0" * 64)), N.test_names_of_other_networks),
    ("no-reverse", patched(names.Names, "name", lambda before: lambda *_: ""), N.test_reverse),
    ("reverse-of-all", patched(messages, "reverse_address", same_address), N.test_reverse),
    ("one-address", patched(messages, "answer", first_of_all), N.test_a_name_of_several),
    ("same-order", patched(names.Names, "addresses", first_address), N.test_a_name_of_several),
    ("never-truncated", patched(messages, "answer", untruncated), N.test_many_addresses),
    ("always-small", patched(messages, "_sender_takes", lambda before: lambda *_: 0), N.test_many_addresses),
    ("never-moves", wrapped(enter=enter_once), N.test_who_moves_and_leaves),
    ("old-replies", patched(server.Server, "names_changed", ignored), N.test_who_moves_and_leaves),
    (
        "at-times-old-replies",
        patched(server.Server, "names_changed", at_times),
        N.test_names_while_others_come_and_go,
    ),
    ("never-leaves", wrapped(leave=nothing), N.test_who_moves_and_leaves),
    ("only-with-namespace", wrapped(enter=enter_with_namespace), N.test_who_is_only_found),
    ("no-own-names", wrapped(enter=resolved_otherwise(lambda _: {"own_names": {}})), N.test_own_names),
    ("own-port", patched(service.listening, "listen", own_port), N.test_the_containers_own_port),
    ("no-servers", wrapped(enter=resolved_otherwise(lambda _: {"servers": ()})), N.test_other_names),
    (
        "servers-of-ipv4",
        wrapped(
            enter=resolved_otherwise(
                lambda resolver: {"servers": tuple(each for each in resolver.servers if ":" not in each)}
            )
        ),
        N.test_a_server_of_ipv6,
    ),
    ("always-from-host", wrapped(enter=resolved_otherwise(lambda _: {"from_host": True})), N.test_asked_from_the_host),
    (
        "one-server",
        wrapped(enter=resolved_otherwise(lambda r: {"servers": r.servers[:1]})),
        N.test_a_server_that_is_away,
    ),
    ("believes-all", patched(upstream._Query, "_fits", lambda _: lambda *_: True), N.test_a_reply_of_another_number),
    ("forgets-names", patched(service.Service, "_restore_room", ignored), N.test_names_outlive_the_process),
    ("falls-over", patched(server.Server, "respond", closes_at_nonsense), N.test_nonsense_is_no_question),
    ("keeps-all", wrapped(keep=nothing), N.test_only_those_are_kept),
    ("any-id", patched(service, "_check", ignored), N.test_ids),
    ("one-family", wrapped(claim=claim_ipv4_only), P.test_a_port_is_held),
    ("not-held", wrapped(claim=claim_and_release), P.test_a_port_is_held),
    ("never-given-back", wrapped(leave=nothing), P.test_a_port_is_held),
    ("everywhere", wrapped(claim=claimed_otherwise(lambda _: {"host_address": ""})), P.test_of_one_address),
    ("another-port", wrapped(claim=claim_what_is_free), P.test_a_port_that_is_taken),
    ("half", wrapped(claim=claim_half), P.test_a_port_that_is_taken),
    ("soon-again", patched(ports.Chooser, "_numbers", lambda _: lambda *_: range(40000, 50000)), P.test_any_port),
    ("by-family", patched(ports.Chooser, "claim", another_of_each_family), P.test_any_port_that_is_left),
    ("no-range", wrapped(claim=claimed_otherwise(lambda each: {"last": each.first})), P.test_a_range),
    ("adds-up", patched(service.Service, "_take_claims", adds_up), P.test_what_is_claimed_instead),
    ("not-forwarded", wrapped(claim=claimed_otherwise(lambda _: {"targets": ()})), P.test_forwarding),
    ("no-half-close", one_way_ends_all, P.test_forwarding_much),
    ("hangs", patched(forwarder, "_reset", lambda before: _kept.append), P.test_forwarding_to_nobody),
    (
        "forgets-ports",
        patched(service.Service, "_restore_claims", lambda _: close_instead),
        P.test_ports_outlive_the_process,
    ),
    ("keeps-ports", wrapped(keep=nothing), P.test_only_ports_of_those_are_kept),
    ("takes-nonsense", wrapped(claim=lambda part, *args: ()), P.test_nonsense),
)


@pytest.mark.slow
@pytest.mark.parametrize(("mutate", "test"), [each[1:] for each in MUTANTS], ids=[each[0] for each in MUTANTS])
def test_mutant_is_caught(mutate, test, tmp_path, monkeypatch):
    monkeypatch.setattr("moby.testing.discovery._PATIENCE_S", 0.7)
    wrap = mutate(monkeypatch)
    with own_network():
        process = Process(tmp_path, wrap)
        given = Given(process.start(), process.start)
        made = []

        def rooms():
            made.append(new_network())
            return made[-1]

        suite = NamesSuite() if hasattr(NamesSuite, test.__name__) else PortsSuite()
        arguments = (given, rooms) if "rooms" in test.__code__.co_varnames[: test.__code__.co_argcount] else (given,)
        with pytest.raises(BaseException) as caught:  # an assertion, pytest.fail, or what the fault raises
            test(suite, *arguments)
        assert not isinstance(caught.value, KeyboardInterrupt)
        monkeypatch.undo()
        process.part.reclaim()
        process.stack.close()
        process.keeper.close()
    for fd in made:
        os.close(fd)
    while _kept:
        _kept.pop().close()
