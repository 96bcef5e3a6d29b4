"""Commands and exit codes. Each command is a module that is imported when it is called, not before."""
