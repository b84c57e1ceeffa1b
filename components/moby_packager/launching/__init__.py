"""What starts an interpreter that a distribution brings itself: two small programs in C, which need no library."""
