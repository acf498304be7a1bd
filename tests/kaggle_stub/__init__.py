"""A stand-in for Kaggle that the unpatched command can be sent to."""
