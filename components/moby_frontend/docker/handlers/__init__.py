"""What the routes do, a module a subject; one is imported when the first call needs it."""
