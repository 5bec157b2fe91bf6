"""Rows that a client cannot read: shown as far as possible, named once, and repaired."""
