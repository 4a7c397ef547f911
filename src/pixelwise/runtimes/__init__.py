"""Runtimes that run a network on a batch of tiles: PyTorch, ONNX Runtime and OpenVINO."""
