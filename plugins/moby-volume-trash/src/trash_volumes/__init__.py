"""Volumes whose removal can be taken back, by a program in C."""
