"""The board in Flower: pages beside Flower's own. ``flower.conf`` calls it. Empty so far."""
