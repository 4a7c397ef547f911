"""What drives a network: steps of training, tiles of prediction, the model file."""
