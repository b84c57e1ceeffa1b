"""The packager `tree`: an engine with an interpreter of its own, as files that lie anywhere."""
