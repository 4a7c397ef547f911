"""Training steps, losses, optimisers, learning-rate schedules, fine-tuning and checkpoints."""
