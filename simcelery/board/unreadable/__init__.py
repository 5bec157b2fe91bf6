"""Rows that a client cannot read: shown as far as they can be, named once, and put right."""
