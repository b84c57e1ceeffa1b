"""Docker's words: lines of a Dockerfile, filters, times."""

from datetime import UTC, datetime, timedelta

import pytest
from moby_images.store.changes import changed
from moby_images.store.filters import LISTED, moment, predicate

from moby.contracts.images import Image, ImageConfig
from moby.contracts.types import Platform
from moby.errors import Invalid
from moby.oci.digest import sha256

NOW = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
BASE = ImageConfig(entrypoint=("/e",), command=("c",), environment=("A=1", "B=2"), working_directory="/srv")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('CMD ["a", "b c"]', {"command": ("a", "b c")}),
        ("CMD a 'b c'", {"command": ("/bin/sh", "-c", "a 'b c'")}),
        ("CMD [not json", {"command": ("/bin/sh", "-c", "[not json")}),
        ("cmd", {"command": ()}),
        ('ENTRYPOINT ["x"]', {"entrypoint": ("x",), "command": ()}),
        ('CMD ["y"]\nENTRYPOINT ["x"]', {"entrypoint": ("x",), "command": ("y",)}),
        ("ENV A=2 C='x y'", {"environment": ("A=2", "B=2", "C=x y")}),
        ("ENV A the rest", {"environment": ("A=the rest", "B=2")}),
        ("ENV A=$A:/x B=\"${B}-$A\" C='$A'", {"environment": ("A=1:/x", "B=2-1", "C=$A")}),
        ("ENV C=${NONE:-d} D=${A:-d} E=${A:+y} F=x$NONE G=a$", {
            "environment": ("A=1", "B=2", "C=d", "D=1", "E=y", "F=x", "G=a$"),
        }),
        (r'ENV C=\$A D=a\ b E="\$A \"q"', {"environment": ("A=1", "B=2", "C=$A", "D=a b", 'E=$A "q')}),
        ("ENV C 'x  y' $A", {"environment": ("A=1", "B=2", "C=x  y 1")}),
        ("LABEL a=$A", {"labels": {"a": "1"}}),
        ("WORKDIR $A", {"working_directory": "/srv/1"}),
        ("USER $B:${A}", {"user": "2:1"}),
        ('VOLUME ["/$A"]', {"volumes": ("/1",)}),
        ("EXPOSE 8$A", {"exposed_ports": ("81/tcp",)}),
        ('LABEL a="b c" d=e', {"labels": {"a": "b c", "d": "e"}}),
        ("EXPOSE 80 53/UDP 8000-8001", {"exposed_ports": ("53/udp", "80/tcp", "8000/tcp", "8001/tcp")}),
        ('VOLUME ["/a b"]', {"volumes": ("/a b",)}),
        ("VOLUME /b /a", {"volumes": ("/a", "/b")}),
        ("WORKDIR sub", {"working_directory": "/srv/sub"}),
        ("WORKDIR /abs", {"working_directory": "/abs"}),
        ("USER me", {"user": "me"}),
        ("STOPSIGNAL SIGINT", {"stop_signal": "SIGINT"}),
        ('SHELL ["/bin/bash", "-c"]\nCMD x', {"shell": ("/bin/bash", "-c"), "command": ("/bin/bash", "-c", "x")}),
        ("ONBUILD RUN x", {"on_build": ("RUN x",)}),
        ("HEALTHCHECK NONE", {"healthcheck": {"Test": ["NONE"]}}),
        (
            "HEALTHCHECK --interval=1m30s --timeout=5s --start-period=1s --start-interval=500ms --retries=2 CMD curl x",
            {
                "healthcheck": {
                    "Test": ["CMD-SHELL", "curl x"], "Interval": 90_000_000_000, "Timeout": 5_000_000_000,
                    "StartPeriod": 1_000_000_000, "StartInterval": 500_000_000, "Retries": 2,
                }
            },
        ),
        ('HEALTHCHECK CMD ["a"]', {"healthcheck": {"Test": ["CMD", "a"]}}),
        ("# a comment\n\nUSER \\\n me", {"user": "me"}),
    ],
)  # fmt: skip
def test_lines(line, expected):
    from attrs import evolve

    assert changed(BASE, [line]) == evolve(BASE, **expected)


@pytest.mark.parametrize(
    "line",
    [
        "RUN x", "ENV", "ENV A", "LABEL a=b =c", "EXPOSE 0", "EXPOSE 70000", "EXPOSE x", "EXPOSE 80/x", "VOLUME",
        'VOLUME [""]', "WORKDIR", "USER", "SHELL bash", "HEALTHCHECK", "HEALTHCHECK RUN x",
        "HEALTHCHECK --what=1 CMD x",
        "HEALTHCHECK --interval=x CMD x", "HEALTHCHECK CMD", "LABEL a='b",
    ],
)  # fmt: skip
def test_lines_that_are_none(line):
    with pytest.raises(Invalid, match=line.partition(" ")[0]):
        changed(BASE, [line])


def test_a_while_that_no_clock_could_have_seen_is_refused():
    with pytest.raises(Invalid, match="'99999999999h' is longer ago than any time"):
        moment("99999999999h", NOW)
    with pytest.raises(Invalid, match="'20000000h' is longer ago"):
        moment("20000000h", NOW)


@pytest.mark.parametrize(("years", "kept"), [(-1, ["old", "new"]), (0, ["new"]), (1, [])])
def test_images_are_as_old_as_a_clock_that_jumps_says(years, kept):
    """Which takes none that is of a time to come."""
    made = {"old": NOW - timedelta(days=2), "new": NOW - timedelta(hours=1)}
    now = NOW + timedelta(days=365 * years)
    goes = predicate({"until": ["24h"]}, {"until"}, pytest.fail, now)
    stayed = []
    for name, created in made.items():
        image = Image(
            sha256(b"1"), sha256(b""), (), BASE, Platform.host(), (), 0, created.strftime("%Y-%m-%dT%H:%M:%SZ")
        )
        stayed += [] if goes(image) else [name]
    assert stayed == kept


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1704164645", NOW),
        ("1h", datetime(2024, 1, 2, 2, 4, 5, tzinfo=UTC)),
        ("1h30m5s", datetime(2024, 1, 2, 1, 34, 0, tzinfo=UTC)),
        ("2024-01-02", datetime(2024, 1, 2, tzinfo=UTC)),
        ("2024-01-02T03:04:05", NOW),
        ("2024-01-02T03:04:05.123Z", NOW),
        ("2024-01-02T05:04+02:00", datetime(2024, 1, 2, 3, 4, tzinfo=UTC)),
    ],
)
def test_moments(text, expected):
    assert moment(text, NOW) == expected


@pytest.mark.parametrize("text", ["", "soon", "1y", "2024-13-01", "h", "1h x"])
def test_moments_that_are_none(text):
    with pytest.raises(Invalid, match="no time"):
        moment(text, NOW)


@pytest.mark.parametrize(
    ("created", "goes"),
    [
        ("2024-01-02T03:04:05Z", (False, True)),
        ("2024-01-02T05:04:05.000000001+02:00", (False, True)),
        ("", (False, False)),
        ("2024-99-02T03:04:05Z", (False, False)),
    ],
)
def test_times_that_images_were_made_at(created, goes):
    """As seen from both sides of a moment; one that is none is on neither."""
    image = Image(sha256(b"1"), sha256(b""), (), BASE, Platform.host(), (), 0, created)
    limits = ("2024-01-02T03:04:05Z", "2024-01-02T03:04:06Z")
    assert tuple(predicate({"until": [each]}, {"until"}, pytest.fail, NOW)(image) for each in limits) == goes


OLD, NEW, NEVER = "2020-01-01T00:00:00Z", "2024-01-01T00:00:00.5+02:00", ""


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        pytest.param({"before": ["new"]}, ["old"], id="before"),
        pytest.param({"since": ["old"]}, ["new"], id="since"),
        pytest.param({"until": ["2022-01-01"]}, ["old"], id="until"),
        pytest.param({"until": ["1h"]}, ["old", "new"], id="until-now"),
        pytest.param({"before": ["never"]}, ["old", "new", "never"], id="before-one-without-a-time"),
        pytest.param({"since": ["never"]}, ["old", "new", "never"], id="since-one-without-a-time"),
        pytest.param({"before": ["new"], "since": ["old"]}, [], id="between"),
    ],
)
def test_an_image_without_a_time_is_neither_old_nor_new(filters, expected):
    """As with Docker: so that a prune of what is old leaves it."""
    images = {
        name: Image(sha256(name.encode()), sha256(b""), (), BASE, Platform.host(), (), 0, created)
        for name, created in (("old", OLD), ("new", NEW), ("never", NEVER))
    }
    passes = predicate(filters, LISTED, images.__getitem__, datetime(2026, 1, 1, tzinfo=UTC))
    assert [name for name, image in images.items() if passes(image)] == expected
