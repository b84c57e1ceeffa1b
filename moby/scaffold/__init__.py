"""Templates of what authors start from."""
