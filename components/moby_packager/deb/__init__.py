"""The packager `deb`: a package for Debian and its relatives."""
