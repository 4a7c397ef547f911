"""A model as a file that other programs run, with the proof that it still says the same."""
