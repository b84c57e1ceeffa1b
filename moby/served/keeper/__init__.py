"""The keeper's own program: standard library only, run from a copy in the run folder."""
