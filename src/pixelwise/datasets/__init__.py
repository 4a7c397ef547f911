"""Read data sets from folders: layout, classes, problems, splits and folds."""
