"""What orchestrators decide: from what is wanted, what there is and the time to what is to be done; no effects."""
