"""What the gateway answers when it cannot do what was asked: one shape for all errors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.responses import Response

from dmoa.errors import DmoaError, EngineError, InvariantError, ScenarioError
from dmoa.live.door import Ended, NodeStatus, Refused

#: What a client is told of an error's kind, by its status.
KINDS = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


class ApiError(Exception):
    """An answer that is an error: status, message, and which parameter is to blame."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status, self.message, self.code, self.param = status, message, code, param
        self.headers = dict(headers or {})
        super().__init__(message)

    def body(self) -> dict[str, Any]:
        """Give the body that clients of this protocol expect.

        >>> ApiError(400, "no question", code="empty", param="messages").body()["error"]["type"]
        'invalid_request_error'
        """
        kind = KINDS.get(
            self.status, "invalid_request_error" if self.status < 500 else "server_error"
        )
        told = {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        return {"error": told}

    def response(self) -> Response:
        """Give it as the response to a request."""
        return json_response(self.body(), status=self.status, headers=self.headers)


def json_response(
    body: object, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Answer with JSON."""
    return Response(
        msgspec.json.encode(body), status, headers=headers, media_type="application/json"
    )


def retry_after(seconds: float) -> dict[str, str]:
    """Say when to try again, in whole seconds as HTTP wants it.

    >>> retry_after(0.2), retry_after(float("inf"))
    ({'Retry-After': '1'}, {'Retry-After': '3600'})
    """
    return {"Retry-After": str(math.ceil(min(max(seconds, 1), 3600)))}


def refused(refusal: Refused, status: NodeStatus) -> ApiError:
    """Say that a prompt was not accepted: the queue is full (429), or the node cannot (503)."""
    headers = retry_after(refusal.retry_after_s)
    then = f"try another node, or this one in {headers['Retry-After']} s"
    if status.state != "ready" or not refusal.queue_length:
        return ApiError(503, f"{refusal.reason}; {then}", code="not_ready", headers=headers)
    message = f"{refusal.reason} (queue length {refusal.queue_length}); {then}"
    return ApiError(429, message, code="queue_full", headers=headers)


def not_accepted(error: DmoaError) -> ApiError:
    """Say why the node could not take a prompt: what was given is wrong, or the node is ill."""
    if isinstance(error, InvariantError):
        return ApiError(500, "this is a bug in dmoa; the node's log tells more", code="bug")
    # An error about a file, such as the journal's, is no fault of the client.
    if isinstance(error, ScenarioError) and "/" not in error.path:
        return ApiError(400, str(error), code="bad_request", param=error.path or None)
    return ApiError(503, str(error), code="unavailable", headers=retry_after(5))


def engine_failed(error: EngineError, status: NodeStatus) -> ApiError:
    """Say that the engine failed on a text (502), or was stopped with the node (503)."""
    if status.state != "ready":
        headers = retry_after(5)
        return ApiError(503, f"the node is {status.state}", code="not_ready", headers=headers)
    # It would fail again: whether to ask once more is for the user to decide.
    headers = {"X-Should-Retry": "false"}
    return ApiError(502, str(error), code="engine_failed", headers=headers)


def ended_badly(prompt_id: str, ended: Ended) -> ApiError:
    """Say that an accepted prompt has failed (502) or expired (504)."""
    status = 504 if ended.state == "expired" else 502
    message = f"prompt {prompt_id} {ended.state}: {ended.reason or 'no reason was given'}"
    # A prompt ends exactly once: asking again is a new prompt, for the user to decide.
    headers = {"X-Dmoa-Prompt-Id": prompt_id, "X-Should-Retry": "false"}
    return ApiError(status, message, code=ended.state, headers=headers)


def stopping(prompt_id: str) -> ApiError:
    """Say that the node stops before an accepted prompt has ended."""
    message = (
        f"the node stops; prompt {prompt_id} is accepted and goes on when the node is back; its "
        f"answer will be at /v1/dmoa/prompts/{prompt_id}"
    )
    headers = {"X-Dmoa-Prompt-Id": prompt_id, **retry_after(5)}
    return ApiError(503, message, code="stopping", headers=headers)
