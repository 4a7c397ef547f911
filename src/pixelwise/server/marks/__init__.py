"""Marks: what a user painted on an image, as vectors in a journal, and the data set that is made of them."""
