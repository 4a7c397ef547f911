"""Prediction of images and volumes that do not fit into memory: tile by tile, continued after an interruption."""
