"""Active learning: the expected gain from more labelled images, and the images to label next."""
