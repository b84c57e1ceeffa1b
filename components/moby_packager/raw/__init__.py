"""The packager `raw`: a machine as a disk, block by block."""
