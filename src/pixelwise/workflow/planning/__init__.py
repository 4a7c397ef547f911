"""How a run is planned, for segmentation and for classification."""
