"""What front ends share: where they listen."""
