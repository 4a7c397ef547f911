"""From a data set to batches: fingerprint, normalisation, patches, augmentation."""
