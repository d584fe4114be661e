"""How the web process takes requests off the network: whole, or not at all."""
