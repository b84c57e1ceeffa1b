"""The packager `binary`: one executable file that needs no Python, nor anything else but a kernel."""
