"""From annotations and pictures to a YOLO dataset."""
