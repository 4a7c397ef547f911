"""What is chosen once a training has ended: thresholds, smallest areas, temperature, test-time augmentation."""
