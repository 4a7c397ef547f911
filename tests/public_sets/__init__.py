"""Imitations of public data sets: the names, endings, values and colours of each, with drawn pictures."""
