"""Hashing methods, one a file: objectives with their memories."""
