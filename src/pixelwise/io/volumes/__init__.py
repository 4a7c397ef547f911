"""Volumes in and out: NIfTI, NRRD, MetaImage, DICOM series, OME-Zarr."""
