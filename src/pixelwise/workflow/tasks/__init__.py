"""Tasks: everything that differs between segmentation and classification, behind one interface."""
