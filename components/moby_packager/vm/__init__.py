"""The packager `vm`: a machine that holds an engine and nothing else, as a kernel and what it starts with."""
