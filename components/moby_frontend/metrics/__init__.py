"""Figures of the engine and its containers, for Prometheus."""
