"""Work on many processes and machines: units, the ledger of what is done, and where workers are started."""
