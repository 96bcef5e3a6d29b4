"""Asks registries of packages what they hold, and fetches it as it is; nothing that is fetched is run.

Which registry, with which credentials and certificates, is what npm and pip are configured with on this machine.
"""
