"""What packagers of a system's packages share: the files that one installs, and the texts of its units."""
