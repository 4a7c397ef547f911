"""How good is it? Losses and scores, as pure functions."""
