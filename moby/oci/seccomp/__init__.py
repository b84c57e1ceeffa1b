"""Seccomp filters: from the runtime specification's `linux.seccomp` to a program that the kernel takes. Pure."""
