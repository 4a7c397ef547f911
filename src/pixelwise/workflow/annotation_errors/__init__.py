"""Likely annotation errors: regions where predictions of images that were not trained on contradict the masks."""
