"""What log drivers that write files share: rotation, compression, reading back, following."""
