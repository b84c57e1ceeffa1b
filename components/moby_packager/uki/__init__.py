"""The packager `uki`: a machine as one program that firmware starts."""
