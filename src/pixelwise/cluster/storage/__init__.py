"""Where inputs are read and outputs are published: a folder, or an object store."""
