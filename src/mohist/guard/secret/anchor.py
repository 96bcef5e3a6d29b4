"""What to look for in place of a few shipped rules that would cost more than all others together where they are looked for everywhere.

They begin with letters and digits of any kind and any number, so that an automaton has to follow each word of a text. Measured
with all rules on sources: thirteen of 626 took a third of the pass.
"""

from __future__ import annotations

from collections.abc import Mapping

ANCHORS: Mapping[str, str] = {
    "betterleaks.zai-api-key": r"[0-9A-Fa-f]{4}\.[0-9A-Za-z]{16}",
    "mohist.connection-password": r"(?i);\s?(?:password|pwd)\s?=",
    "mohist.discord-bot-token": r"[\w-]{14}\.[\w-]{6}\.[\w-]{6}",
    # 772 names are more than Hyperscan takes; the kind of key, and two digits near the beginning of its value, are rare enough.
    "mohist.service-key": r"""(?i)(?:secret|private|access|key|token)\\?["'`]?(?:\s{0,4}(?:=>|:{0,3}=|[:,>])\s{0,4}|\s{1,4}|-)\\?["'`]?[0-9a-z_+/.-]{0,26}[0-9][a-z_+/-]{0,8}[0-9][0-9a-z_+/-]{2}""",
    "mohist.azure-workflow-url": r"(?:logic\.azure\.com|powerplatform\.com)(?::443)?/",
    "mohist.k3s-token": r"::(?:server|node):",
    "mohist.mattermost-webhook": r"/hooks/[a-z0-9]{26}",
    "mohist.newrelic-key": r"NRAL|NRI[IQ]-",
    "mohist.tines-webhook": r"\.tines\.(?:com|io)/webhook/",
    "mohist.pgpass": r":(?:\d{2,5}|\*):[\w.*-]{1,64}:[\w.*-]{1,64}:[^\s:]{4}",
}
"""By rule: what stands within each of its matches."""

RARE = frozenset({"mohist.jwk-private"})
"""Rules of which the keywords alone are looked for."""
