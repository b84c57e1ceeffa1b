"""The verb `image` of a distribution's command line."""
