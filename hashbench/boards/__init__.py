"""From results to tables, pictures and the page."""
