"""What computes a batch of tiles: PyTorch, ONNX Runtime, OpenVINO; chosen by measurement."""
