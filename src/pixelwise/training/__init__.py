"""One training step and what it needs: losses, optimisers, schedule, fine-tuning, checkpoints."""
