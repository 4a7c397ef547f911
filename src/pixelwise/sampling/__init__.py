"""Sampling of batches from a data set: fingerprint, normalisation, patches, augmentation."""
