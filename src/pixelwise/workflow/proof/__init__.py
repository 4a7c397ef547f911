"""The labelled images that an export is proven on: one file per kind of model."""
