"""The packager `oci`: an engine as an image."""
