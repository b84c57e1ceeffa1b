"""What enclosures of ordinary users share: namespaces, and the process outside that holds them."""
