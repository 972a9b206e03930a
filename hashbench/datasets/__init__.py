"""Data sets, one a file, in their retrieval roles."""
