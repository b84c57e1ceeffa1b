"""Starting the machines that the packager `vm` makes, in this terminal: by QEMU, or as user-mode Linux."""
