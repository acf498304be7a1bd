"""The parts of an ingest: pictures on their way in, and what each is held against."""
