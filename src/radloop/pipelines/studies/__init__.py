"""The parts of a watched PACS: a study looked at, answered and written, and the reports of people in it."""
