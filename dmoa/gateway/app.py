"""The HTTP application of a node: its paths, and what stands before all of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from dmoa.gateway.answers import describe
from dmoa.gateway.auth import Guard
from dmoa.gateway.bodies import LOCAL, NETWORK
from dmoa.gateway.completions import Completions
from dmoa.gateway.errors import ApiError, json_response, retry_after
from dmoa.gateway.limits import GatewayLimits
from dmoa.gateway.readings import Readings
from dmoa.live.door import Door

#: What tells that the process lives is for everybody.
OPEN_PATHS = {"/health"}


def make_app(
    door: Door, keys: Sequence[str] = (), *, limits: GatewayLimits | None = None
) -> Starlette:
    """Make the HTTP application of a node.

    Args:
        door: The node.
        keys: API keys, of which a request needs one. Without keys the door serves its own
            machine alone.
        limits: What it bears.
    """
    limits = limits or GatewayLimits()
    guard, closing = Guard(keys), asyncio.Event()
    views = _Views(door, limits)
    completions, readings = Completions(door, limits, closing), Readings(door, limits)
    app = Starlette(
        routes=[
            Route("/v1/chat/completions", completions.answer, methods=["POST"]),
            Route("/v1/completions", readings.complete, methods=["POST"]),
            Route("/v1/embeddings", readings.embed, methods=["POST"]),
            Route("/v1/models", views.models),
            Route("/v1/models/{name}", views.model),
            Route("/v1/dmoa/status", views.status),
            Route("/v1/dmoa/prompts/{id}", views.prompt),
            Route("/health", views.health),
            Route("/ready", views.ready),
        ],
        middleware=[Middleware(_Entrance, guard=guard, limits=limits)],
        exception_handlers={
            ApiError: _api_error,
            HTTPException: _http_error,
            Exception: _bug,
        },
    )
    app.state.guard, app.state.closing = guard, closing
    return app


class _Views:
    """What can be looked at."""

    def __init__(self, door: Door, limits: GatewayLimits) -> None:
        self._door, self._limits = door, limits
        self._born = int(time.time())

    def _models(self) -> dict[str, dict[str, Any]]:
        alone = f"answered by {self._door.model} on node {self._door.name} alone"
        return {
            NETWORK: self._model(NETWORK, "answered by the network: proposed, then aggregated"),
            LOCAL: self._model(LOCAL, alone),
        }

    def _model(self, name: str, meaning: str) -> dict[str, Any]:
        told = {
            "node": self._door.name,
            "model": self._door.model,
            "meaning": meaning,
            "capabilities": self._door.status().capabilities,
        }
        common = {"object": "model", "created": self._born, "owned_by": "dmoa"}
        return {"id": name, **common, "dmoa": told}

    async def models(self, _: Request) -> Response:
        """List the models."""
        return json_response({"object": "list", "data": list(self._models().values())})

    async def model(self, request: Request) -> Response:
        """Show a model."""
        name, models = request.path_params["name"], self._models()
        if name not in models:
            known = " and ".join(models)
            raise ApiError(
                404, f"there is no model {name[:100]!r}; known are {known}", code="model_not_found"
            )
        return json_response(models[name])

    async def status(self, _: Request) -> Response:
        """Say how the node is."""
        return json_response(self._door.status())

    async def prompt(self, request: Request) -> Response:
        """Show a prompt."""
        prompt_id = request.path_params["id"]
        view = self._door.find(prompt_id)
        if view is None:
            raise ApiError(
                404,
                f"node {self._door.name} knows no prompt {prompt_id[:100]!r}; it may belong to "
                "another node, or its retention is over",
                code="prompt_not_found",
            )
        return json_response(describe(view), headers={"X-Dmoa-Prompt-Id": view.id})

    async def health(self, _: Request) -> Response:
        """Say that the process lives."""
        return json_response({"status": "ok", "node": self._door.name})

    async def ready(self, _: Request) -> Response:
        """Say whether the node would answer."""
        limit = self._limits.ready_timeout_s
        try:
            async with asyncio.timeout(limit):
                reason = await self._door.ready()
        except TimeoutError:
            reason = f"its engine did not answer within {limit:g} s"
        if reason:
            raise ApiError(
                503,
                f"node {self._door.name} is not ready: {reason}",
                code="not_ready",
                headers=retry_after(5),
            )
        return json_response({"status": "ready", "node": self._door.name})


class _Entrance:
    """What every request passes: a limit on how many are inside, and the guard."""

    def __init__(self, app: ASGIApp, guard: Guard, limits: GatewayLimits) -> None:
        self._app, self._guard, self._limits = app, guard, limits
        self._inside = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        if refusal is not None:
            await refusal.response()(scope, receive, send)
            return
        self._inside += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._inside -= 1

    def _refusal(self, scope: Scope) -> ApiError | None:
        if scope["path"] in OPEN_PATHS:
            return None
        if self._inside >= self._limits.requests_max:
            return ApiError(
                503,
                f"{self._inside} requests are being served, which is the limit; try again soon",
                code="too_many_requests",
                headers=retry_after(1),
            )
        try:
            self._guard.check(Headers(scope=scope))
        except ApiError as error:
            return error
        return None


async def _api_error(_: Request, error: Exception) -> Response:
    if not isinstance(error, ApiError):
        raise error
    return error.response()


async def _http_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    method, path = request.method[:20], request.url.path[:200]
    if error.status_code == 405:
        problem = f"{path} does not take {method}"
    elif error.status_code == 404:
        problem = f"there is no {path} here"
    else:
        problem = f"{method} {path}: {error.detail}"
    code = error.detail.lower().replace(" ", "_")
    return ApiError(
        error.status_code, f"{problem}; see docs/http.md", code=code, headers=error.headers
    ).response()


async def _bug(_: Request, error: Exception) -> Response:  # noqa: ARG001 - it goes to the log
    message = "this is a bug in dmoa; the node's log tells more"
    return ApiError(500, message, code="bug").response()
