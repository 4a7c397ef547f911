"""The command `inspect`: data folders, runs, networks, and the feature maps of an image."""
