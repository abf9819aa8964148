"""The words of order canceling, and the protocols of the venues as data and pure functions."""
