"""The packager `rpm`: a package for Fedora, Red Hat, SUSE and their relatives."""
