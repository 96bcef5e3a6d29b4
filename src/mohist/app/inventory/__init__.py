"""What coding tools are installed on this machine: packages, programs, extensions of editors, MCP servers in settings.

Starts nothing that it finds, and reads names and versions alone: of settings files, which hold secrets, no argument, no variable, no
header and no address but its host is ever kept. Whether a tool may be there the register says, not this.
"""
