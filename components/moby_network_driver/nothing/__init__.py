"""What drivers have in common whose networks need nothing made."""
