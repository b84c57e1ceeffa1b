"""The program in C keeps the contract of volume drivers; it must have been compiled (`pip wheel .` does)."""

from moby.testing.conformance import suite_of

from trash_volumes import plugin

TestTrash = suite_of(plugin, "volume-driver/trash")
