"""Codes made again in processes that have seen nothing of the evaluation."""
