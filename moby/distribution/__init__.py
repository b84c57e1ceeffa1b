"""From a plan to files: what an engine needs, packaged, with lock, bill of materials and sums."""

from moby.distribution.build import Distribution, assemble, lock, lock_file

__all__ = ["Distribution", "assemble", "lock", "lock_file"]
