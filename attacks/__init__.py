"""Attacks, one a file; the file name is the registered name with _ for -."""
