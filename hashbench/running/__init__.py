"""From requests to stored results: cells, the store, workers, tuning."""
