"""The flows, one page each; read these first. The parts of each lie in the room of its name."""
