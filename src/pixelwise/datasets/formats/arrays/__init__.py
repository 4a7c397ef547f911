"""Images and masks in NPY, NPZ, HDF5 and MAT files."""
