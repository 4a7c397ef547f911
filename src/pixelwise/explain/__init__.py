"""What a network sees in one image: activations, Grad-CAM."""
