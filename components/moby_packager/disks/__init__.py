"""What packagers of disks share: whose their bytes are, identifiers that are always the same, and qemu-img."""
