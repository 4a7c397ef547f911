"""The version of the package, in its own module so that internal code does not import the public package."""

__version__ = "0.1.0"
