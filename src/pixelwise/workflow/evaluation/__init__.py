"""What evaluate does, task by task."""
