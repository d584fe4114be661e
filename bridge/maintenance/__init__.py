"""What is done at intervals, whatever orders come in, one duty a module; `duties` lists them all."""
