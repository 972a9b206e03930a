"""Certification: lower bounds on a query's average precision that hold for every attack within the threat."""
