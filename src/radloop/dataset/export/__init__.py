"""A dataset in the formats of other tools, one module a format: from its tables, no picture decoded."""
