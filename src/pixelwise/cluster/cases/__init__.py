"""The cases of a data set as units: scanned by workers, for a diagnosis by one process."""
