"""The packager `qcow2`: a machine as a disk for QEMU, KVM and OpenStack."""
