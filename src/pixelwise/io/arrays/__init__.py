"""Arrays as images: NPY, NPZ, HDF5 and MAT files."""
