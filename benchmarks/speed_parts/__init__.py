"""What `speed.py` is made of."""
