"""Processes of workers on this machine that start without importing everything again."""
