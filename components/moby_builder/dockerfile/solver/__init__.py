"""The solver: runs a graph of operations side by side, over a cache."""
