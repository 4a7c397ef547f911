"""How a run is planned, for masks and for photos."""
