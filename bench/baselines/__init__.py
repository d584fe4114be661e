"""What the bridge is measured against: the least that an app of the same libraries can do."""
