"""The pages, one file for each with its handlers; their templates have the same names."""
