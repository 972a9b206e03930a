"""Tables, pictures and the page of all leaderboards, made from results."""
