"""The assets, a file for each stretch of the lineage."""
