"""Defenses, one per file; the file's name is the registered name with _ for -."""
