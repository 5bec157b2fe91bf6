"""The verbs of the command line, one module each. None imports another; what they share is one level up."""
