import pytest
from moby_discovery.none.plugin import Config, make

from moby.contracts.discovery import PortRequest, Presence
from moby.errors import Unsupported


def test_nobody_is_found_and_no_port_is_published():
    part = make(Config())
    assert part.serves_names is False
    part.enter("c1", None, [Presence("n1", ("web",), ("10.0.0.2",))])
    assert part.claim("c1", []) == ()
    with pytest.raises(Unsupported, match="publishes no ports: its discovery is the part `none`") as caught:
        part.claim("c1", [PortRequest("tcp", 80)])
    assert "discovery: dns" in caught.value.hint
    part.leave("c1")
    part.keep([])
