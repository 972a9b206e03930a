"""Images, networks and codes, and what makes passes through networks fast."""
