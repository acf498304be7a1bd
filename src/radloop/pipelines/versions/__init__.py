"""The parts of a new dataset version: rows gathered, what it continues, what joins it, what is refused."""
