"""The packager `vhd`: a machine as a disk for Azure."""
