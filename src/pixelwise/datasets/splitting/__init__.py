"""Splits, folds and subsets: which cases belong together, and which are copies."""
