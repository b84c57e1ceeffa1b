import select
import threading

import pytest

from moby.host.inbox import Inbox


@pytest.fixture
def inbox():
    found = Inbox(threading.Lock(), 3)
    yield found
    found.discard()


def told(inbox):
    return bool(select.select([inbox.fileno()], [], [], 0)[0])


def test_what_waits_is_told_and_taken_in_order(inbox):
    assert not told(inbox)
    assert (inbox.put("a"), inbox.put("b"), told(inbox)) == (True, True, True)
    assert (inbox.take(), told(inbox), inbox.take()) == (("a", "b"), False, ())


def test_who_takes_too_few_gets_those_and_no_more(inbox):
    assert [inbox.put(each) for each in "abcde"] == [True, True, True, False, False]
    assert (inbox.ended, inbox.take(), inbox.ended) == (False, ("a", "b", "c"), True)
    assert (inbox.put("f"), inbox.take(), told(inbox)) == (False, (), True)


def test_an_end_is_told_for_good(inbox):
    inbox.put("a")
    inbox.end()
    assert (inbox.take(), told(inbox), inbox.ended) == (("a",), True, True)


def test_what_is_discarded_is_nobodys(inbox):
    inbox.put("a")
    for _ in range(2):
        inbox.discard()
    assert (inbox.fileno(), inbox.take(), inbox.ended, inbox.put("b")) == (-1, (), True, False)
