"""Counts of items per Hamming distance, and the numbers that follow from them."""
