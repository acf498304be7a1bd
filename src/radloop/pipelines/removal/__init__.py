"""The parts of forgetting: whose images are meant, and what lies where of them."""
