"""Pictures on their way in: files, cases, fingerprints, normalisation, patches, augmentation, the demo set."""
