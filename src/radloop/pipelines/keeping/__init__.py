"""The parts of `pipelines.backing_up` and `pipelines.restoring`: which files of OUT there are, packing, unpacking."""
