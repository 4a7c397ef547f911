"""Evaluation of segmentation and classification models."""
