"""Label images and class maps, as numpy arrays."""
