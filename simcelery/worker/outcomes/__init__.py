"""How an attempt ended: what is written to the board, kept while the board is unreachable, and logged."""
