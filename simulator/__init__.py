"""Plays the five venues over real HTTP, for demos, drills and tests; imports nothing of the product."""
