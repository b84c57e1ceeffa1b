"""Volumes as folders of the engine, or what is mounted there."""
