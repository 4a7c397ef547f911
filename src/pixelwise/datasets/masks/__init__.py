"""Mask values of a whole data set: what was measured in each file, and what it means."""
