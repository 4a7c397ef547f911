"""Scores and what they are worth, as pure functions."""
