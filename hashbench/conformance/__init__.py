"""The rules that attacks and defenses must follow, checked on small data."""
