"""Data sets, one per file, split into their retrieval roles."""
