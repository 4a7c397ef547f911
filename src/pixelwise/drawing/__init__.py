"""From the steps of a network to a drawing of it."""
