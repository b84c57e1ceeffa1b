"""What drivers have in common whose networks are bridges: these, containers' ports on them, and the firewall."""
