"""What drivers have in common whose interfaces are on top of one of the host's."""
