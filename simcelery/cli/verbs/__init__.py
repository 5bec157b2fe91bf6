"""The verbs of the command line, a file for each: none imports another, and what they share lies beside."""
