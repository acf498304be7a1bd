"""Fuzzing of every reader of outside bytes."""
