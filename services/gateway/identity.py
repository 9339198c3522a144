"""Who calls.

The edge (Envoy) checks the caller's token, writes the user into the metadata `x-mixdown-user` and
removes what came under that name from outside. Nothing else tells who calls.
"""

from __future__ import annotations

from typing import Any

from grpc import aio

from services.gateway.errors import NoIdentityError

USER_KEY = "x-mixdown-user"
"""Metadata key under which the edge tells the user."""

_MAX_CHARACTERS = 256


def user_of(context: aio.ServicerContext[Any, Any], development_user: str) -> str:
    """Returns the user of a call.

    Args:
        context: The call.
        development_user: The user of calls without an identity; "" refuses them.

    Raises:
        NoIdentityError: the edge did not tell who calls.
    """
    users = {str(value) for key, value in context.invocation_metadata() or () if key == USER_KEY}
    if len(users) > 1:
        raise NoIdentityError("The call names more than one user.")
    user = users.pop() if users else development_user
    if not user or len(user) > _MAX_CHARACTERS:
        raise NoIdentityError("Nobody has said who calls.")
    return user
