"""Drawings of networks from their layer graph."""
