"""The conformance suite of runtimes: what a runtime may lack. What it offers must work; the rest it refuses."""

# ruff: noqa: D102 - the name of a test says what it holds a runtime to
from moby.contracts.runtime import RuntimeFeature
from moby.testing.boxes import Boxes
from moby.testing.runtime_descriptors import Descriptors
from moby.testing.runtime_exec import Execs
from moby.testing.runtime_pause import Pauses
from moby.testing.runtime_seccomp import SeccompProfiles
from moby.testing.runtime_terminals import Terminals
from moby.testing.runtime_updates import Updates
from moby.testing.runtime_users import Users

__all__ = ["Features"]


class Features(Terminals, Descriptors, Execs, Pauses, Updates, SeccompProfiles, Users):
    """Each feature: offered and working, or not offered and refused. A file a subject."""

    def test_features_have_names_of_the_contract(self, boxes: Boxes) -> None:
        known = {value for name, value in vars(RuntimeFeature).items() if not name.startswith("_")}
        assert boxes.runtime.features <= known

    def test_programs_have_names_and_versions(self, boxes: Boxes) -> None:
        """Those of others; one that makes containers itself has none."""
        for name, (version, commit) in boxes.runtime.programs().items():
            assert all(each.isprintable() for each in (name, version, commit))
            assert name
            assert version
