"""Scale on paper: what the measured figures say of installations that nobody has measured."""
