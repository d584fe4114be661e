"""The web process: it takes deliveries, and says how the bridge is."""
