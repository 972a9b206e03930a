"""Boards side by side: what one board can't say."""
