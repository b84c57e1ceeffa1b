"""An enclosure whose network nothing joins to the host's."""
