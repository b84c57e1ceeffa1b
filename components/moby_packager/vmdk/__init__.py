"""The packager `vmdk`: a machine as a disk for VMware."""
