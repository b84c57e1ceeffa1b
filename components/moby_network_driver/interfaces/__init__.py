"""What drivers have in common that make interfaces: their marks, their options, and what is done inside a namespace."""
