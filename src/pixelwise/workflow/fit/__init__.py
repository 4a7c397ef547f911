"""What a run does while it learns."""
