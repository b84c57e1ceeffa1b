"""The kernel: namespaces, mounts, cgroups, capabilities, seccomp, processes, and what a host can do."""
