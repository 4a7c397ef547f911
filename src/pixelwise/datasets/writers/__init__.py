"""Write a data set as another program's folder: one function per format, all in the registry."""
