"""Spacebridge: WooCommerce order webhooks in, Space Invoices documents out."""

__version__ = "0.1.0"
