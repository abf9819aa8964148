"""Minutes of random trouble for real processes, and an audit of what they said meanwhile."""
