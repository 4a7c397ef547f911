"""Model files with their model card, and a safe reader of .pth files."""
