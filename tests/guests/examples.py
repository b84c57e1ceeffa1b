"""Tests that are run inside a guest to see what becomes of each kind."""

from guests.cover import lacks, needs


def test_that_passes():
    needs(True, "air")


def test_that_fails():
    assert 1 + 1 == 3


def test_of_what_the_guest_should_have():
    lacks("moon", "uml")


def test_of_what_another_has():
    lacks("moon", "qemu")


def test_of_what_no_guest_has():
    lacks("cheese")
