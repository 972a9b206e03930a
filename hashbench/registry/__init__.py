"""What names stand for: registered entries, their parameters, and plugins."""
