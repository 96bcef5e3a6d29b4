"""Whether a request comes from who holds the secret, and the key under which it counts once.

github    `X-Hub-Signature-256`, HMAC-SHA256 over the body (also Gitea's and Forgejo's). It covers neither a time nor the
          delivery's id, so the body itself is what counts once.
          https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
gitlab    `X-Gitlab-Token`, the secret itself, and `Idempotency-Key` or `X-Gitlab-Event-UUID`.
          https://docs.gitlab.com/user/project/integrations/webhooks/
standard  `webhook-id`, `webhook-timestamp`, `webhook-signature`, HMAC-SHA256 over id, time and body (also GitLab's, where it
          has a signing token).
          https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping, Sequence
from typing import Final, Literal

from mohist.base import sha256_hex

Scheme = Literal["github", "gitlab", "standard"]
_LONGEST_ID: Final = 255
_PREFIX: Final = "whsec_"


def proved(
    scheme: Scheme, secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now_ms: int, window_s: float
) -> str | None:
    """The key under which a request counts once; None: nothing proves where it is from. Takes as long whatever is wrong
    with a signature.

    Args:
        scheme: how it is signed.
        secrets: any of them will do; none: nothing is proved.
        headers: names in small letters.
        body: as it came.
        now_ms: the time.
        window_s: how far a signed time may be from now.
    """
    if scheme == "github":
        return _github(secrets, headers, body)
    if scheme == "gitlab":
        return _gitlab(secrets, headers, body)
    return _standard(secrets, headers, body, now_ms, window_s)


def key_of(secret: str) -> bytes | None:
    """The key in a secret of Standard Webhooks, `whsec_` and base64; as there, the first part may be left out. None: it is
    none."""
    try:
        return base64.b64decode(secret.removeprefix(_PREFIX), validate=True) or None
    except (ValueError, binascii.Error):
        return None


def _github(secrets: Sequence[str], headers: Mapping[str, str], body: bytes) -> str | None:
    given = headers.get("x-hub-signature-256", "").encode("utf-8", "replace")
    wanted = [b"sha256=" + hmac.new(secret.encode(), body, "sha256").hexdigest().encode() for secret in secrets]
    return f"body:{sha256_hex(body)}" if _any_equal(given, wanted) else None


def _gitlab(secrets: Sequence[str], headers: Mapping[str, str], body: bytes) -> str | None:
    given = headers.get("x-gitlab-token", "").encode("utf-8", "replace")
    if not _any_equal(given, [secret.encode() for secret in secrets]):
        return None
    named = headers.get("idempotency-key") or headers.get("x-gitlab-event-uuid") or ""
    return f"id:{named[:_LONGEST_ID]}" if named else f"body:{sha256_hex(body)}"


def _standard(
    secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now_ms: int, window_s: float
) -> str | None:
    message_id, at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    content = f"{message_id}.{at}.".encode("utf-8", "replace") + body
    keys = [key_of(secret) or b"" for secret in secrets]
    wanted = [b"v1," + base64.b64encode(hmac.new(key, content, "sha256").digest()) for key in keys]
    given = headers.get("webhook-signature", "").encode("utf-8", "replace").split(b" ")[:10]
    equal = [_any_equal(one, wanted) for one in given]
    is_number = at.isascii() and at.isdigit() and len(at) <= 15
    if not any(equal) or not is_number or not message_id or len(message_id) > _LONGEST_ID:
        return None
    return f"id:{message_id}" if abs(now_ms / 1000 - int(at)) <= window_s else None


def _any_equal(given: bytes, wanted: Sequence[bytes]) -> bool:
    # Summed up, so that each is compared.
    return sum(hmac.compare_digest(given, one) for one in wanted) > 0
