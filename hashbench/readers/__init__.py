"""Readers of files that may come from anyone, one module a format; each refuses in one line what it can't read."""
