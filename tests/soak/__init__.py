"""Hours of faults against real servers and workers, and an audit of the board after them: ``make soak``."""
