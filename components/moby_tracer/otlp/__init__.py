"""The component `tracer/otlp`."""
