"""An enclosure whose network slirp4netns joins to the host's."""
