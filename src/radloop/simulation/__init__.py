"""The hospital that plays against a detector: what arrives when, and the run."""
