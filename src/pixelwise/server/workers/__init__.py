"""Child processes of the server: one holds the model, one reads images; both may die without losing the server."""
