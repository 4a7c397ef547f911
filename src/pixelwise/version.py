"""The version of the package, in a module of its own: what is inside asks for it here, not at the public face."""

__version__ = "0.1.0"
