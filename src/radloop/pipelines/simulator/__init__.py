"""The parts of a run of the simulator: pictures to show, and the run, played here, on a cluster or to a PACS."""
