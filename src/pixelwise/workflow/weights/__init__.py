"""Pretrained encoder weights: download, cache, normalisation, and import of classifiers."""
