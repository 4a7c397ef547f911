"""Where the first weights of an encoder come from."""
