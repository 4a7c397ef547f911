"""Pictures of networks, from their layer graph."""
