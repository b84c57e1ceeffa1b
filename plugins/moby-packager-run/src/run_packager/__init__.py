"""The format `run`: one shell script that installs an engine with an interpreter of its own."""
