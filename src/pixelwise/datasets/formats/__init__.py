"""Annotation formats of other programs: one module per format, each a reader and, where it can be written, a writer."""
