"""What `accuracy.py`, `score.py` and `gpu.py` are made of."""
