"""Networks that plugins of the Container Network Interface make."""
