"""Images in a folder in the OCI image layout."""
