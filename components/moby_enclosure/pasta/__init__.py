"""An enclosure whose network pasta joins to the host's."""
