"""Formats that consist of folders and image files: one module per format."""
