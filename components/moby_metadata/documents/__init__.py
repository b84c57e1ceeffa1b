"""What stores of documents share: which keys and documents there can be."""
