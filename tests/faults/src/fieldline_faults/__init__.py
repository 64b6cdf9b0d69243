"""The fault matrix: each fault against each part of a running plant, and what became of it."""
