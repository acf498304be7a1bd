"""The flows, one page each; read these first."""
