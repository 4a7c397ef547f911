"""Images of a data set: files, channels, missing pixels and features."""
