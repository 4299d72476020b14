"""Turn what people have into batches."""
