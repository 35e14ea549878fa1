"""The bodies of requests: read within limits, checked, and refused by the name of what is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request

from dmoa.gateway.errors import ApiError
from dmoa.gateway.limits import GatewayLimits

T = TypeVar("T")

NETWORK, LOCAL = "dmoa", "dmoa:local"
IGNORED_NAMED_MAX = 20
#: What asks for a search with several beams, with the values that ask for none.
BEAMS: dict[str, tuple[Any, ...]] = {
    "beam_width": (1,),
    "best_of": (1,),
    "num_beams": (1,),
    "use_beam_search": (False,),
}


async def read_body(request: Request, limits: GatewayLimits) -> bytes:
    """Read the body of a request.

    Raises:
        ApiError: It is too large, too slow, or not complete.
    """
    limit = limits.body_bytes_max
    declared = request.headers.get("content-length", "0")
    body = bytearray()
    try:
        async with asyncio.timeout(limits.body_timeout_s):
            if not declared.isdecimal() or int(declared) > limit:
                raise _too_large(limit)
            async for piece in request.stream():
                body += piece
                if len(body) > limit:
                    raise _too_large(limit)
    except TimeoutError:
        waited = f"{limits.body_timeout_s:g} s"
        raise ApiError(
            408, f"the body did not arrive within {waited}; send it again", code="slow_body"
        ) from None
    except ClientDisconnect:
        raise ApiError(400, "the body is not complete", code="invalid_json") from None
    return bytes(body)


def read_object(body: bytes) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ApiError: 400, it is none.
    """
    try:
        raw = msgspec.json.decode(body)
    except UnicodeDecodeError as error:
        problem = f"the body is not UTF-8 (byte {error.start})"
    except (msgspec.DecodeError, RecursionError) as error:
        problem = f"the body is not JSON ({error})"
    else:
        if isinstance(raw, dict):
            return raw
        problem = "the body is not a JSON object"
    raise ApiError(400, f"{problem}; send a JSON object in UTF-8", code="invalid_json")


def refuse_unsupported(
    raw: Mapping[str, Any], unsupported: Mapping[str, tuple[Any, ...]], where: str = "here"
) -> None:
    """Refuse what changes the meaning of a request and is not done.

    Args:
        raw: The request.
        unsupported: By name the values that ask for nothing; null asks for nothing anywhere.
        where: What does not do it.

    Raises:
        ApiError: 400 with the name.
    """
    for name, harmless in unsupported.items():
        value = raw.get(name)
        if value is not None and value not in harmless:
            only = f"; only {msgspec.json.encode(harmless[0]).decode()} is" if harmless else ""
            who = "by any engine of dmoa yet" if name in BEAMS else where
            raise bad(name, f"{name} is not supported {who}{only}; leave it out", "unsupported")


def convert(raw: dict[str, Any], form: type[T], needed: str, remedy: str) -> T:
    """Give a request in its form.

    Args:
        raw: The request.
        form: The form.
        needed: What has to be given.
        remedy: How.

    Raises:
        ApiError: 400 with the parameter to blame.
    """
    try:
        return msgspec.convert(raw, form)
    except msgspec.ValidationError as error:
        problem, _, where = str(error).partition(" - at `$")
        param = where.strip("`.")
        if not param and "missing required" in problem:
            raise bad(needed, f"{needed} is missing; {remedy}") from None
        raise bad(param, f"{param}: {problem[0].lower()}{problem[1:]}") from None


def ignored(raw: Mapping[str, Any], known: Collection[str]) -> tuple[str, ...]:
    """Name the parameters that are not known, as far as they shall be told.

    >>> ignored({"user": "me", "model": "dmoa"}, {"model"})
    ('user',)
    """
    return tuple(name[:100] for name in raw if name not in known)[:IGNORED_NAMED_MAX]


def check_local(model: str, what: str) -> None:
    """See that a request is for this node's own model.

    Raises:
        ApiError: 404 if there is no such model; 400 if it is the network.
    """
    check_model(model)
    if model == NETWORK:
        raise bad("model", f"model: only one model {what}; ask {LOCAL!r}, that of this node")


def check_model(model: str) -> None:
    """See that a model is known.

    Raises:
        ApiError: 404.
    """
    if model not in {NETWORK, LOCAL}:
        raise ApiError(
            404,
            f"there is no model {shown(model)}; known are {NETWORK!r} (the network) and "
            f"{LOCAL!r} (this node's model alone)",
            code="model_not_found",
            param="model",
        )


def bad(param: str, message: str, code: str = "invalid_value") -> ApiError:
    """Give the error for a bad parameter."""
    told = message if param in message or not param else f"{param}: {message}"
    return ApiError(400, told, code=code, param=param or None)


def shown(value: object) -> str:
    """Show the beginning of a value."""
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}…"


def kind_of(value: object) -> str:
    """Name the type of a value.

    >>> kind_of(None), kind_of(7)
    ('null', 'int')
    """
    return "null" if value is None else type(value).__name__


def _too_large(limit: int) -> ApiError:
    return ApiError(
        413, f"the body is larger than {limit:,} bytes; send less", code="body_too_large"
    )
