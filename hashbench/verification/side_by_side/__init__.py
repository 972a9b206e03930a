"""Checks of what several boards say together, which no board can show alone."""
