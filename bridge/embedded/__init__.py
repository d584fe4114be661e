"""`spacebridge up`: all parts of a bridge as child processes of one."""
