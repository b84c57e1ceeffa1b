"""What every builder makes of the steps of a Dockerfile."""

from moby.contracts.builder import Export, ExportType, Request
from moby.testing.builder_world import BASE, BuilderFixtures, Workshop, building, built, exported, files

__all__ = ["Steps"]


class Steps(BuilderFixtures):
    """What is built."""

    def test_an_image(self, workshop: Workshop) -> None:
        """It has what was copied and what was run, on top of what it is made from."""
        image = built(workshop, BASE + "COPY a /d/\nRUN cat /d/a > /b\n", {"a": "one\n"})
        assert files(workshop, image, "d/a", "b", "etc/passwd")[:2] == ["one\n", "one\n"]
        base = workshop.images.get("box")
        assert image.layers[: len(base.layers)] == base.layers
        assert len(image.layers) > len(base.layers)

    def test_its_names(self, workshop: Workshop) -> None:
        """All that were asked for; the id is what was told."""
        with building(workshop, BASE + "ENV A=b\n") as at:
            result = at.build.solve(Request())
            [told] = at.build.export(result, [Export(ExportType.IMAGE, names=("first:1", "me/second"))])
        found = [workshop.images.get(each) for each in ("first:1", "me/second:latest")]
        assert [each.id for each in found] == [told.image, told.image]
        assert sorted(told.names) == ["docker.io/library/first:1", "docker.io/me/second:latest"]

    def test_its_config(self, workshop: Workshop) -> None:
        """What each instruction says of how it is to be run, and what the base image said where none does."""
        image = built(
            workshop,
            BASE + 'ENV A=b C="d e"\nLABEL one="two three"\nUSER ann\nWORKDIR /w\nWORKDIR x\nEXPOSE 80 53/udp\n'
            'VOLUME ["/v"]\nSTOPSIGNAL SIGINT\nENTRYPOINT ["/bin/sh", "-c"]\nCMD ["echo hi"]\n'
            "HEALTHCHECK --interval=5s --retries=2 CMD cat /x\n",
        )
        config = image.config
        assert config.environment == ("PATH=/bin", "A=b", "C=d e")
        assert (config.user, config.working_directory, config.stop_signal) == ("ann", "/w/x", "SIGINT")
        assert (config.entrypoint, config.command) == (("/bin/sh", "-c"), ("echo hi",))
        assert (config.exposed_ports, config.volumes) == (("53/udp", "80/tcp"), ("/v",))
        assert config.labels["one"] == "two three"
        assert config.healthcheck["Test"] == ["CMD-SHELL", "cat /x"]
        assert (config.healthcheck["Interval"], config.healthcheck["Retries"]) == (5_000_000_000, 2)

    def test_an_entry_point_takes_the_command_of_the_base_away(self, workshop: Workshop) -> None:
        """As docker does it."""
        assert built(workshop, BASE + 'ENTRYPOINT ["/x"]\n').config.command == ()
        assert built(workshop, BASE + "ENV A=b\n").config.command == ("sh",)

    def test_its_history(self, workshop: Workshop) -> None:
        """Has each step, and says which have no layer."""
        image = built(workshop, BASE + "ENV A=b\nRUN cat /etc/passwd > /a\n")
        history = image.raw_config["history"]
        assert len([each for each in history if not each.get("empty_layer")]) == len(image.layers)
        assert "/etc/passwd" in history[-1]["created_by"]

    def test_nothing_to_begin_with(self, workshop: Workshop) -> None:
        """`scratch` is an empty root."""
        image = built(workshop, "FROM scratch\nCOPY a /\n", {"a": "one"})
        with workshop.images.rootfs(image) as root:
            assert [each.name for each in root.iterdir()] == ["a"]

    def test_stages(self, workshop: Workshop) -> None:
        """One's files in another, by name and by number; the rest of it is not in the image."""
        text = (
            BASE.rstrip()
            + " AS one\nRUN cat /etc/passwd > /a\nFROM scratch\nCOPY --from=one /a /x\nCOPY --from=0 /a /y\n"
        )
        with workshop.images.rootfs(built(workshop, text)) as root:
            assert sorted(each.name for each in root.iterdir()) == ["x", "y"]
            assert (root / "x").read_text() == (root / "y").read_text() != ""

    def test_a_target(self, workshop: Workshop) -> None:
        """The stage that was asked for, and none that it doesn't need."""
        text = "FROM scratch AS one\nCOPY a /\nFROM box AS two\nRUN cat /nothing\n"
        with workshop.images.rootfs(built(workshop, text, {"a": ""}, Request(target="one"))) as root:
            assert [each.name for each in root.iterdir()] == ["a"]

    def test_arguments(self, workshop: Workshop) -> None:
        """Those that were given, else the defaults; they are seen by RUN and aren't in the image's environment."""
        text = BASE + "ARG A=one\nARG B=two\nRUN echo $A $B > /a\nENV C=$A\n"
        image = built(workshop, text, request=Request(arguments={"A": "given"}))
        assert files(workshop, image, "a") == ["given two\n"]
        assert image.config.environment == ("PATH=/bin", "C=given")

    def test_labels(self, workshop: Workshop) -> None:
        """Those that were asked for are the image's too."""
        image = built(workshop, BASE + "LABEL a=b\n", request=Request(labels={"c": "d"}))
        assert {key: image.config.labels[key] for key in "ac"} == {"a": "b", "c": "d"}

    def test_who_runs_and_where(self, workshop: Workshop) -> None:
        """USER and WORKDIR hold for RUN, and what it makes is theirs."""
        text = BASE + "WORKDIR /new\nUSER ann\nRUN cat /proc/self/status > /tmp/s; pwd > /tmp/w\n"
        image = built(workshop, text)
        status, folder = files(workshop, image, "tmp/s", "tmp/w")
        assert "Uid:\t1000" in status
        assert folder == "/new\n"

    def test_what_is_ignored(self, workshop: Workshop) -> None:
        """.dockerignore is heeded, exceptions too."""
        ignored = {".dockerignore": "*.log\n!kept.log\nd\n", "a": "", "x.log": "", "kept.log": "", "d/e": ""}
        with workshop.images.rootfs(built(workshop, "FROM scratch\nCOPY . /\n", ignored)) as root:
            assert {"a", "kept.log"} <= {each.name for each in root.iterdir()}
            assert not {"x.log", "d"} & {each.name for each in root.iterdir()}

    def test_another_file(self, workshop: Workshop) -> None:
        """The Dockerfile may be called otherwise."""
        given = {"sub/Other": BASE + "COPY a /\n", "a": "x"}
        image = built(workshop, "FROM nothing-there", given, Request(dockerfile="sub/Other"))
        assert files(workshop, image, "a") == ["x"]

    def test_a_secret(self, workshop: Workshop) -> None:
        """Is there for the step that asks for it, and nowhere afterwards."""
        text = BASE + "RUN --mount=type=secret,id=key cat /run/secrets/key > /dev/null && echo read > /a\n"
        with building(workshop, text, secrets={"key": b"hush-hush"}) as at:
            image = exported(workshop, at, at.build.solve(Request()))
        assert files(workshop, image, "a") == ["read\n"]
        layers = b"".join(each.read() for each in workshop.images.export_layers(image))
        assert b"hush-hush" not in layers + str(image.raw_config).encode()
        with workshop.images.rootfs(image) as root:
            assert not (root / "run/secrets/key").exists()
