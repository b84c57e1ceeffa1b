"""What runtimes share that start programs themselves: who a program is, and how it is found; no component itself."""
