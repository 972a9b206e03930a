"""Verification: numbers recomputed from files, rows attacked again, submissions checked."""
