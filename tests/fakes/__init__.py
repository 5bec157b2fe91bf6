"""Commands that take the part of programs which cannot run everywhere."""
