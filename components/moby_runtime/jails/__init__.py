"""What the runtimes chroot and cgroup share: processes in a root, without namespaces; no component itself."""
