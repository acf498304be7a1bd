"""Where a dataset is published: a folder, or any rclone remote."""
