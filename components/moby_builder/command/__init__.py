"""The verbs `build` and `builder`."""
