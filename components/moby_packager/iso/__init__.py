"""The packager `iso`: a machine on an optical disc, which also starts from a stick."""
