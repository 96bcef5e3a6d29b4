"""From a requirement to a deployed change: durable, approved, reversible.

Decides what comes next and remembers what is true; it never runs a model or a command itself (`port` says who does), and
never believes a model's word where a command's exit code can be had. A run is one agent on one task; a delivery is
everything that makes its change somebody's release.
"""
