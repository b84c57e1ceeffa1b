"""What others' firewalls do to containers, and which rule of the administrator's lets them through.

A packet passes only where every table accepts it, so nothing of ours helps where another one drops.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from moby.host.legacy_tables import LEGACY, legacy_forward_chains
from moby.host.nft_values import INET, V4, V6, Chain
from moby.host.nftables import Nftables, StandingChain
from moby.values import frozen

__all__ = ["Hindrance", "forward_chains", "hindrances"]

_FORWARD = 2
_FAMILIES = {V4: ("ip", "iptables"), V6: ("ip6", "ip6tables"), INET: ("inet", "")}
_TABLES = {"filter": "", LEGACY: "-legacy"}
"""Of iptables, with what its command's name ends in."""
_FIREWALLD = "firewalld"
_BRIDGE_CALLS = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")


@frozen
class Hindrance:
    """A chain that drops."""

    drops: str
    """Which it is, and what it does, in words."""
    rules: tuple[str, ...]
    """Commands that help."""

    @property
    def text(self) -> str:
        """What it does, and what helps."""
        return f"{self.drops}, unless a rule accepts it, as: {'; '.join(self.rules)}"


def forward_chains(nftables: Nftables) -> tuple[StandingChain, ...]:
    """Return all chains of nftables, and those of iptables-legacy that see what is forwarded."""
    return (*nftables.chains(), *legacy_forward_chains())


def hindrances(chains: Sequence[StandingChain], bridges: Sequence[str]) -> Iterator[Hindrance]:
    """Yield, for each chain that drops what is forwarded, what it does to these bridges, and the rules that help.

    A chain whose table has a rule about a bridge is taken to let it through.
    """
    for chain in (each.chain for each in chains if _drops(each.chain)):
        beside = [each for each in chains if _same_table(each.chain, chain)]
        values = {value for each in beside for rule in each.compared for value in rule}
        hindered = [each for each in bridges if not _named(each, values)]
        if hindered:
            names = {each.chain.name for each in beside}
            rules = tuple(rule for each in hindered for rule in _rules(chain, names, each))
            yield Hindrance(f"{_described(chain)} drops what containers send and get{_on_bridges()}", rules)


def _drops(chain: Chain) -> bool:
    """Whether a chain lets through only what a rule accepts; firewalld's has a last rule for that, no policy."""
    hook = chain.hook
    if hook is None or (hook.hook, hook.type) != (_FORWARD, "filter") or chain.table.family not in _FAMILIES:
        return False
    return hook.drop or chain.table.name == _FIREWALLD


def _same_table(one: Chain, other: Chain) -> bool:
    return (one.table.family, one.table.name) == (other.table.family, other.table.name)


def _named(bridge: str, values: set[bytes]) -> bool:
    """Tell whether a value is an interface's name, whole or, as iptables writes `br+`, the beginning of one."""
    name = bridge.encode()
    return any(each.rstrip(b"\0") == name or (each and name.startswith(each)) for each in values)


def _command(chain: Chain) -> str:
    """Return the command whose chain it is, iptables or one like it; empty where it is another's."""
    _, command = _FAMILIES[chain.table.family]
    return command + _TABLES[chain.table.name] if command and chain.table.name in _TABLES else ""


def _described(chain: Chain) -> str:
    family, command = _FAMILIES[chain.table.family][0], _command(chain)
    if chain.table.name == _FIREWALLD:
        return "firewalld"
    if command:
        return f"the policy DROP of {command}'s chain {chain.name}"
    return f"the policy drop of the chain {chain.name} of nftables' table {family} {chain.table.name}"


def _rules(chain: Chain, names: set[str], bridge: str) -> Iterator[str]:
    family, command = _FAMILIES[chain.table.family][0], _command(chain)
    if chain.table.name == _FIREWALLD:
        yield f"firewall-cmd --zone=trusted --add-interface={bridge}"
        return
    for option, key in (("-i", "iifname"), ("-o", "oifname")):
        if command:
            place = "DOCKER-USER" if "DOCKER-USER" in names else chain.name
            yield f"{command} -I {place} {option} {bridge} -j ACCEPT"
        else:
            yield f'nft insert rule {family} {chain.table.name} {chain.name} {key} "{bridge}" accept'


def _on_bridges() -> str:
    """Say that even what stays on a bridge is concerned, where the kernel shows that to iptables."""
    try:
        called = _BRIDGE_CALLS.read_text(encoding="ascii").strip() == "1"
    except OSError:
        called = False
    return ", also to each other, since net.bridge.bridge-nf-call-iptables is 1" if called else ""
