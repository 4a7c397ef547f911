"""What inspect shows: data, runs, networks, and what they see."""
