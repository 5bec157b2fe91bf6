"""For the tests of users' own workflows: a pytest plugin. Nothing in the package imports it. Empty so far."""
