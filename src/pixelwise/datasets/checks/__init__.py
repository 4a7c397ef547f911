"""Checks of a data set: detectors of faults in images and masks, as pure functions on arrays."""
