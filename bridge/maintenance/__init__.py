"""What the schedule has done, one duty a module."""
