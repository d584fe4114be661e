"""What `spacebridge up` is made of: the supervisor, the parts it runs, the data folder's lock, the demo."""
