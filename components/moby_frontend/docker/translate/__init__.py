"""Docker's JSON in and out: each module has one subject and both directions."""
