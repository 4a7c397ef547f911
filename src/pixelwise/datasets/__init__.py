"""A folder becomes a data set: its layout, its classes, what is wrong with it, its splits."""
