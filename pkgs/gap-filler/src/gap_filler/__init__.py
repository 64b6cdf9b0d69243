"""Fills what the collection has missed from the servers' own history, and watches its freshness."""
