"""The parts of a comparison: who takes part, what they answer, what came of it and how it reads."""
