"""The road of an order: received, processed, decided on, claimed, sent, completed."""
