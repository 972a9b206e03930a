"""Hashing methods, one per file: objectives with their memories."""
