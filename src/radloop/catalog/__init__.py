"""What both pipelines and dashboard need to know of a dataset: a version as it stands, its classes, truth and rule."""
