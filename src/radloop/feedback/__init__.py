"""What the detector and the radiologists said, and what the next model may learn from it."""
