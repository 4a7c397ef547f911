"""The model file and what it says of itself; the only reader of .pth files."""
