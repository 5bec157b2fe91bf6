"""How an attempt ended: what is recorded of it, kept while the board is away, and said in the log."""
