"""Where every builder brings what it has made, and how that is looked at."""

import io
import secrets
import tarfile

import pytest

from moby.contracts.builder import Export, ExportType, Request, Target
from moby.contracts.types import Platform
from moby.errors import MobyError, NotFound
from moby.oci.reference import parse
from moby.testing.builder_world import (
    BASE,
    BuilderFixtures,
    Workshop,
    building,
    files,
)

__all__ = ["Exports"]


class Exports(BuilderFixtures):
    """Where it goes, and what is looked at before."""

    def test_a_folder(self, workshop: Workshop) -> None:
        """All files of the root, as they are."""
        with building(workshop, "FROM scratch\nCOPY . /\n", {"a": "one", "d/b": "two"}) as at:
            at.build.export(at.build.solve(Request()), [Export(ExportType.LOCAL, number=3)])
            tree = at.session.trees[3]
        assert (tree["a"], tree["d"], tree["d/b"]) == (b"one", None, b"two")

    def test_an_archive(self, workshop: Workshop) -> None:
        """The same as a tar."""
        with building(workshop, "FROM scratch\nCOPY a /d/\n", {"a": "one"}) as at:
            at.build.export(at.build.solve(Request()), [Export(ExportType.TAR, number=2)])
            data = at.session.received[2].read()
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            found = {each.name.strip("/"): each for each in tar.getmembers()}
            assert found["d/a"].isreg()
            assert found["d"].isdir()

    @pytest.mark.parametrize("kind", [ExportType.OCI, ExportType.DOCKER])
    def test_an_archive_of_an_image(self, workshop: Workshop, kind: ExportType) -> None:
        """Can be loaded, and is the same image then."""
        name = f"packed:{secrets.token_hex(8)}"
        with building(workshop, BASE + "COPY a /\n", {"a": "packed"}) as at:
            result = at.build.solve(Request())
            at.build.export(result, [Export(kind, number=1, names=(name,))])
            data = at.session.received[1].read()
        [image] = [each.image for each in workshop.images.load(io.BytesIO(data)) if each.image]
        assert files(workshop, image, "a") == ["packed"]
        assert workshop.images.get(name).id == image.id

    def test_several_at_once(self, workshop: Workshop) -> None:
        """Each in its order; a result may go more than once."""
        with building(workshop, "FROM scratch\nCOPY a /\n", {"a": ""}) as at:
            result = at.build.solve(Request())
            told = at.build.export(result, [Export(ExportType.TAR, number=1), Export(ExportType.IMAGE, names=("x:1",))])
            assert [each.image is not None for each in told] == [False, True]
            at.build.export(result, [Export(ExportType.LOCAL, number=2)])
            assert (len(at.session.received), len(at.session.trees)) == (1, 1)

    def test_its_files(self, workshop: Workshop) -> None:
        """They are lent before anything is exported, in another build too, and as often as one likes."""
        with building(workshop, "FROM scratch\nCOPY . /\n", {"a": "one", "d/b": "two"}) as at:
            [target] = at.build.solve(Request()).targets
            with at.build.files(target) as root, at.build.files(target) as again:
                assert ((root / "a").read_text(), (again / "d/b").read_text()) == ("one", "two")
        with building(workshop, BASE) as at:
            with at.build.files(target) as root:
                assert sorted(each.name for each in root.iterdir() if each.name in {"a", "d", "etc"}) == ["a", "d"]
            with pytest.raises(NotFound), at.build.files(Target(Platform.host(), "0" * 25)):
                pass

    def test_what_it_would_begin_with(self, workshop: Workshop) -> None:
        """The image of a name; where there is none, its name is said."""
        with building(workshop, BASE) as at:
            found = at.build.image(parse("box"), Platform.host())
            assert found.id == workshop.images.get("box").id
            assert found.raw_config["config"]["Cmd"] == ["sh"]
            with pytest.raises(MobyError, match="missing"):
                at.build.image(parse("localhost:1/missing:1"), Platform.host())
