"""What every builder keeps, and finds again."""

import pytest

from moby.contracts.builder import Keep, Request
from moby.errors import Invalid
from moby.testing.builder_world import BASE, RANDOM, BuilderFixtures, Workshop, built, files

__all__ = ["Cache"]


class Cache(BuilderFixtures):
    """The cache."""

    def test_what_was_built_is_not_built_again(self, workshop: Workshop) -> None:
        """The same file and the same context give the same image."""
        text = BASE + "COPY a /\n" + RANDOM
        first, again = (built(workshop, text, {"a": "same"}) for _ in range(2))
        assert first.layers == again.layers

    def test_without_the_cache(self, workshop: Workshop) -> None:
        """Every step is done again."""
        first, again = (
            built(workshop, BASE + RANDOM, request=Request(no_cache=each)) for each in (False, True)
        )  # fmt: skip
        assert files(workshop, first, "made") != files(workshop, again, "made")

    def test_what_changed_is_built_again(self, workshop: Workshop) -> None:
        """A file's content, and all that comes after it; what is before isn't."""
        text = BASE + RANDOM + "COPY a /\nRUN cat /proc/sys/kernel/random/uuid > /later\n"
        first, second = (built(workshop, text, {"a": each}) for each in ("one", "two"))
        assert files(workshop, first, "made") == files(workshop, second, "made")
        assert files(workshop, first, "later") != files(workshop, second, "later")
        assert files(workshop, second, "a") == ["two"]

    def test_an_argument_that_changed(self, workshop: Workshop) -> None:
        """Makes RUN run again."""
        text = BASE + "ARG A\n" + RANDOM
        first, second = (built(workshop, text, request=Request(arguments={"A": each})) for each in "12")
        assert files(workshop, first, "made") != files(workshop, second, "made")

    def test_a_cache_mount(self, workshop: Workshop) -> None:
        """Keeps what a step left in it for the next one, outside the image."""
        mount = "--mount=type=cache,target=/c,id=suite"
        text = BASE + f"RUN {mount} echo kept > /c/f\nRUN {mount} cat /c/f > /a\n"
        image = built(workshop, text)
        assert files(workshop, image, "a") == ["kept\n"]
        with workshop.images.rootfs(image) as root:
            assert not (root / "c/f").exists()

    def test_what_is_kept(self, workshop: Workshop) -> None:
        """It is listed with what it takes, and goes when it is asked to; what was built stays."""
        image = built(workshop, BASE + RANDOM)
        built(workshop, BASE + RANDOM + "RUN echo more > /more\n")
        found = workshop.builder.usage()
        assert found == tuple(sorted(found, key=lambda each: each.id))
        assert len(found) > 1
        gone = workshop.builder.prune(Keep(all=True))
        assert {each.id for each in gone.entries} <= {each.id for each in found}
        assert workshop.builder.usage() == ()
        assert files(workshop, image, "made") != files(workshop, built(workshop, BASE + RANDOM), "made")

    def test_a_filter_that_nobody_knows(self, workshop: Workshop) -> None:
        """Invalid, and nothing goes."""
        built(workshop, BASE + RANDOM)
        before = workshop.builder.usage()
        with pytest.raises(Invalid, match="nonsense"):
            workshop.builder.prune(Keep(filters={"nonsense": ("x",)}))
        assert workshop.builder.usage() == before
