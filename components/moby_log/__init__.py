"""Components of the kind `log-driver`, and what they share."""
