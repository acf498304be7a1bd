"""Where annotations and pictures come from."""
