"""The search service, inference sessions, and the index and registry adapters."""
