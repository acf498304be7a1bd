"""The parts of attesting and of checking what was attested: places looked at, what is stated, what differs."""
