"""The Dagster code location, the importers, the expectations and the command line."""
