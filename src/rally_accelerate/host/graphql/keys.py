"""Operations on access keys and on what their users may do."""

from typing import Any

from ariadne import MutationType, ObjectType, QueryType
from graphql import GraphQLError

from rally_accelerate.errors import ConfigError
from rally_accelerate.host.access import Actor, Role
from rally_accelerate.host.callers import Known
from rally_accelerate.host.graphql.roles import ROLES, needed
from rally_accelerate.host.stores import Stores


def bind(query: QueryType, mutation: MutationType, stores: Stores) -> list[ObjectType]:
    """Attach the resolvers to a store."""

    @query.field("myAccessKeyMetaData")
    async def mine(_: Any, info: Any) -> dict[str, Any] | None:
        known: Known = info.context["known"]
        found = await stores.keys.one(known.key_id) if known.key_id else None
        if found is None:
            return None
        return {
            "id": found.id,
            "name": found.name,
            "created": found.created,
            "lastUsed": found.last_used,
            "userId": found.user_id or None,
            # Users of this host are known by name alone.
            "email": None,
        }

    @query.field("hasPermissions")
    async def permitted(_: Any, info: Any, permissions: list[str]) -> bool:
        actor: Actor = info.context["actor"]
        return all(_may(actor, each) for each in permissions)

    @mutation.field("createMyUserAccessKey")
    async def make(_: Any, info: Any, name: str) -> dict[str, Any]:
        actor: Actor = info.context["actor"]
        if not actor.id:
            raise GraphQLError(
                f"{actor.name} belongs to no user, so it has no keys of its own; take a key of a user (My profile)"
            )
        try:
            made = await stores.keys.make(name, user_id=actor.id)
        except ConfigError as error:
            raise GraphQLError(" ".join(filter(None, (f"{error}.", error.hint)))) from None
        await stores.audit.note(actor, "created", kind="access key", object_id=made.id, name=made.name)
        return {"id": made.id, "accessKey": made.key, "name": made.name, "created": made.created, "lastUsed": None}

    @mutation.field("deleteUserAccessKey")
    async def delete(_: Any, info: Any, id: str) -> bool:
        actor: Actor = info.context["actor"]
        found = await stores.keys.one(id)
        # Of a key that is somebody else's, not even its existence is told.
        if found is None or not (actor.may(Role.ADMIN) or (actor.id and found.user_id == actor.id)):
            raise GraphQLError(f"you have no access key {id}")
        await stores.keys.revoke(found.id)
        detail = {"user": found.user or "the host"}
        await stores.audit.note(actor, "revoked", kind="access key", object_id=found.id, name=found.name, detail=detail)
        return True

    return []


def _may(actor: Actor, permission: str) -> bool:
    if permission in {role.word for role in Role}:
        return actor.may(Role.of(permission))
    return permission in ROLES and actor.may(needed(permission))
