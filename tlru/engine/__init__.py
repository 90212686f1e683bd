"""The cache and its deterministic machine. Pure: time is an argument, and nothing here does I/O."""
