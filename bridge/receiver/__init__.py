"""WooCommerce's front door: checks that a delivery is the shop's, records it, and answers."""
