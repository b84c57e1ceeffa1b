"""What packagers of images for systemd share: an engine's tree below /usr, its units, and a file system of squashfs."""
