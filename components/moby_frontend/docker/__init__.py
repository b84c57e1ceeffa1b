"""The Docker Engine API, spoken to clients over HTTP; behind it are contracts alone."""
