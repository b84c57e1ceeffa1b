"""Components of kind `frontend`: they speak to clients."""
