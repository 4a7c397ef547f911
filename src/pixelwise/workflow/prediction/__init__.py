"""What predict does, task by task."""
