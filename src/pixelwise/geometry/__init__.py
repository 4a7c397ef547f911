"""Arithmetic on sizes and slices."""
