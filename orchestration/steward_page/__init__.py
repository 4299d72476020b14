"""The steward's page: what `threadline batches` does, with the pictures, in a browser on the same machine."""
