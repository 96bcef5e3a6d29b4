"""Closes deliveries in the ledger whose worker was killed between the tables and the entry that says that they are over.

Nobody works on what is over, so nobody would come by to enter it: a delivery shown alone would seem to go on.
"""

from __future__ import annotations

import logging

from mohist.app.office import Office
from mohist.base import MohistError
from mohist.delivery.chronicle import closing_key, first_key
from mohist.delivery.machine import OVER

_log = logging.getLogger(__name__)


def close_ended(office: Office) -> list[str]:
    """Enters what is missing of deliveries that are over; which those were.

    Only of those of which the ledger knows that they began: what was over before there was a ledger stays out of it. Where
    nothing can be entered, that is noted; the next start tries again.
    """
    evidence, book = office.evidence, office.book
    if evidence is None or not evidence.home.exists:
        return []
    closed: list[str] = []
    try:
        ended = [one for status in sorted(OVER) for one in book.moved_since(status, 0)]
        if not ended:
            return []
        log = evidence.home.read()
        try:
            missing = [
                delivery_id
                for delivery_id, revision in ended
                if log.find(closing_key(delivery_id, revision)) is None and log.find(first_key(delivery_id)) is not None
            ]
        finally:
            log.close()
        for delivery_id in missing:
            book.reconcile(delivery_id)
            closed.append(delivery_id)
    except MohistError as error:
        _log.warning("deliveries that are over may not be closed in the ledger: %s", error)
    return closed
