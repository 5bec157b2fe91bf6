"""How an attempt ended: what is recorded, kept while the board is unreachable, and logged."""
