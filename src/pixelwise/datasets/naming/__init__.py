"""What file names mean: which files belong together, and which images are of one patient, video or scene."""
