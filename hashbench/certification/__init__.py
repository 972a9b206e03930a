"""Lower bounds of a query's average precision that no attack inside the threat can pass."""
