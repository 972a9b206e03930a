"""Numbers recomputed from files, rows attacked again, rows from outside."""
