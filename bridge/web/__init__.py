"""The web process: it takes deliveries, and reports the state of the bridge."""
