"""Locks of files: who holds one, and who is told that somebody does."""

import stat

from moby.host.locks import locked


def test_one_that_is_held_is_not_got(tmp_path):
    path = tmp_path / "lock"
    with locked(path) as got:
        assert got
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        for exclusive in (True, False):
            with locked(path, exclusive=exclusive, wait=False) as other:
                assert not other
    with locked(path, wait=False) as again:
        assert again


def test_those_who_share_one_hold_it_together(tmp_path):
    path = tmp_path / "lock"
    with locked(path, exclusive=False), locked(path, exclusive=False) as both:
        assert both
        with locked(path, wait=False) as alone:
            assert not alone
