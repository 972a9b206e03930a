"""Codes recomputed in separate processes that have seen nothing of the evaluation."""
