"""The operation: what a batch is, how it is planned, carried out, folded and reported."""
