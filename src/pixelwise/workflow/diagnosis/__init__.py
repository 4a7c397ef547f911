"""Diagnosis of a data set: what its checks find, a corrected copy, and an HTML page."""
