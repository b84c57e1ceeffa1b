"""The packager `vhdx`: a machine as a disk for Hyper-V."""
