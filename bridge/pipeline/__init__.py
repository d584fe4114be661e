"""What happens to a delivery after it was answered: processed, decided, forwarded, swept up."""
