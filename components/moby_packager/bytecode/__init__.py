"""Bytecode that is the same in every process, which packagers share."""
