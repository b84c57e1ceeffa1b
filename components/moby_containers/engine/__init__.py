"""The service behind an engine's API: containers from their creation to their removal."""
