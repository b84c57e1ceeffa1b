"""The packager `tar`: an engine with an interpreter of its own, to be unpacked anywhere."""
