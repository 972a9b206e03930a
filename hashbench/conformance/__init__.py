"""The rules that attacks and defenses must keep, tried on small data."""
