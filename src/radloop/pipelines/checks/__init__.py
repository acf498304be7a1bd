"""The parts of a check: documents, and pictures without labels."""
