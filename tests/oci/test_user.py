import fcntl
import os
import signal
import threading

import pytest
from descriptors import closed_again, descriptors
from hypothesis import given
from hypothesis import strategies as st

from moby.errors import Corrupt, MobyError, NotFound, Unavailable
from moby.oci.user import User, parse_user, resolve_user

PASSWD = """\
root:x:0:0:root:/root:/bin/sh
web:x:33:34:Web:/srv/web:/bin/false
# comment:x:77:77::/:
broken:x:not-a-number:1::/:
42:x:99:98::/of-42:
homeless:x:50:50:::
half
"""
GROUP = """\
root:x:0:
web:x:34:
mail:x:12:other,web
games:x:13:web
7:x:70:
broken:x:y:web
"""


@pytest.mark.parametrize(
    ("text", "user"),
    [
        pytest.param("", User(0, 0, (), "/root"), id="nobody asked for is root"),
        pytest.param("web", User(33, 34, (12, 13), "/srv/web"), id="by name"),
        pytest.param("33", User(33, 34, (12, 13), "/srv/web"), id="by number, with an entry"),
        pytest.param("1234", User(1234, 0, (), "/"), id="by number, without one"),
        pytest.param("web:mail", User(33, 12, (), "/srv/web"), id="group by name"),
        pytest.param("web:55", User(33, 55, (), "/srv/web"), id="group by number"),
        pytest.param("42", User(99, 98, (), "/of-42"), id="a name of digits is a name"),
        pytest.param("0:7", User(0, 70, (), "/root"), id="a group's name of digits is a name"),
        pytest.param("homeless", User(50, 50, (), "/"), id="no home"),
        pytest.param(":mail", User(0, 12, (), "/root"), id="group alone"),
    ],
)
def test_user(text, user):
    assert parse_user(text, PASSWD, GROUP) == user


@pytest.mark.parametrize(
    "text", ["nobody", "broken", "comment", "half", "-1", "web:nobody", "99999999999", "2147483648"]
)
def test_not_found(text):
    with pytest.raises(NotFound, match="there is no"):
        parse_user(text, PASSWD, GROUP)


@given(st.text(), st.text(), st.text())
def test_any_text_is_a_user_or_refused(text, passwd, group):
    try:
        user = parse_user(text, passwd, group)
    except MobyError:
        return
    assert min(user.uid, user.gid, *user.groups, 0) == 0


def etc(rootfs):
    folder = rootfs / "etc"
    folder.mkdir(parents=True)
    return folder


def test_no_files(tmp_path):
    assert resolve_user(tmp_path, "5") == User(5)


def test_link_stays_inside(tmp_path):
    """An absolute link is the container's own: what it points to on the host is another file."""
    outside = tmp_path / "outside"
    outside.write_text("evil:x:1:1::/:\n")
    rootfs = tmp_path / "rootfs"
    (etc(rootfs) / "passwd").symlink_to("/../../outside")
    (rootfs / "outside").write_text("good:x:2:2::/:\n")
    assert resolve_user(rootfs, "good").uid == 2
    with pytest.raises(NotFound):
        resolve_user(rootfs, "evil")


def test_fifo_blocks_nobody(tmp_path):
    os.mkfifo(etc(tmp_path) / "passwd")
    assert resolve_user(tmp_path, "0") == User()


def test_what_is_no_file_is_not_even_opened(tmp_path):
    """As opening a device may do something, which is the host's own whoever made its node."""
    pipe = etc(tmp_path) / "passwd"
    os.mkfifo(pipe)
    opened = threading.Thread(target=lambda: os.close(os.open(pipe, os.O_WRONLY)))  # once somebody opens it to read
    opened.start()
    opened.join(0.1)
    assert resolve_user(tmp_path, "0") == User()
    opened.join(0.2)
    waits = opened.is_alive()
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)  # until it is open there, however late that begins
    opened.join()
    os.close(reader)
    assert waits


def test_a_lease_blocks_nobody(tmp_path):
    """As a program inside may have one on its own file, again and again."""
    file = etc(tmp_path) / "passwd"
    file.touch()
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)  # by which its holder is told
    holder = os.open(file, os.O_RDWR)
    try:
        fcntl.fcntl(holder, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        with pytest.raises(Unavailable, match=r"^/etc/passwd: a program in the container has a lease"):
            resolve_user(tmp_path, "somebody")
    finally:
        os.close(holder)
        signal.signal(signal.SIGIO, before)


def test_huge_file(tmp_path, monkeypatch):
    monkeypatch.setattr("moby.oci.user._BIGGEST_FILE_BYTES", 10)
    (etc(tmp_path) / "passwd").write_text("x" * 11)
    with pytest.raises(Corrupt, match="bigger"):
        resolve_user(tmp_path, "0")


def test_a_folder_or_a_loop_in_place_of_passwd_is_no_file(tmp_path):
    (tmp_path / "etc/group").mkdir(parents=True)
    (tmp_path / "etc/passwd").symlink_to("passwd")
    before = descriptors()
    assert resolve_user(tmp_path, "5:6") == User(5, 6)
    closed_again(before)
