"""What is true of VinDr-CXR alone: its classes, where they lie in a chest, how often, how its readers differ."""
