"""Annotated outlines as labels, and labels as outlines."""
