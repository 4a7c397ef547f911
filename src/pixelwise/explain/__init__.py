"""Explanations of a prediction: activations and Grad-CAM."""
