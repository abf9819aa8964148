"""Measures ripcord against other ways to cancel orders, on simulated venues; nothing of the product imports it."""
