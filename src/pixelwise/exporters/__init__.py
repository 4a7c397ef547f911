"""Export of models to other formats, with a parity check against PyTorch."""
