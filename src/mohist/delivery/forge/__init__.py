"""Forges: GitHub, GitLab, Gitea behind one Protocol, each by its REST interface.

Never decides whether a change may be merged: gates do that before, and the forge's own rules after. The neighbour
`target.ci` starts pipelines of a forge; this package has to do with requests and issues.
"""

from mohist.delivery.forge.contract import Check, Forge, Issue, Request, Standing
from mohist.delivery.forge.remote import Post, find_post

__all__ = ["Check", "Forge", "Issue", "Post", "Request", "Standing", "find_post"]
