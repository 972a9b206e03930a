"""What names stand for: entries, their parameters, plugins."""
