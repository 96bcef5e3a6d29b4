"""What the rules say of a described call, at each upstream that could serve it; for the command line and the API."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mohist.gateway.route import Route, Upstream
    from mohist.policy import Facts, Rulebook, Ruling


def decided(rules: Rulebook, call: Facts, route: Route | None) -> list[tuple[str, Ruling]]:
    """By upstream; with no route as it was described, under an empty name."""
    if route is None:
        return [("", rules.decide(call))]
    return [(upstream.name, rules.decide(_there(call, upstream))) for upstream in route.upstreams]


def _there(call: Facts, upstream: Upstream) -> Facts:
    return replace(
        call,
        upstream=upstream.name,
        vendor=upstream.provider,
        region=upstream.region,
        data_class=upstream.data_class,
        self_hosted=upstream.self_hosted,
        served_model=upstream.model or call.model,
    )
