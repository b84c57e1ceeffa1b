"""What drivers write down of what they have had made by others."""
