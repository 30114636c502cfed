"""Operations on access keys and on what their users may do."""

from collections.abc import Mapping, Sequence
from typing import Any

from ariadne import MutationType, ObjectType, QueryType
from graphql import GraphQLError

from rally_accelerate.errors import ConfigError
from rally_accelerate.server.authentication import Identity
from rally_accelerate.server.graphql.execution import check_length
from rally_accelerate.server.permissions import Actor, Role
from rally_accelerate.server.store.credentials import AccessKey
from rally_accelerate.server.store.repositories import Stores

READ_ACTIONS = frozenset({"view", "read", "get", "list"})
ADMIN_RESOURCES = ("user", "role", "team", "accesskey", "access_key", "plugin", "audit", "security")


def bind(query: QueryType, mutation: MutationType, stores: Stores) -> list[ObjectType]:
    """Attach the resolvers to a store."""

    @query.field("myAccessKeyMetaData")
    async def mine(_: Any, info: Any) -> list[dict[str, Any]]:
        known: Identity = info.context["known"]
        if known.actor.id:
            keys = await stores.keys.list_keys(user_id=known.actor.id)
        else:
            own = await stores.keys.get(known.key_id) if known.key_id else None
            keys = [own] if own else []
        return [_to_meta_data(key) for key in keys]

    @query.field("hasPermissions")
    async def has_permissions(
        _: Any, info: Any, userId: str, tenantId: str, scopedPermissions: Sequence[Mapping[str, Any]]
    ) -> bool:
        del tenantId  # A user has one role, in every tenant.
        check_length(scopedPermissions, "scopedPermissions")
        actor: Actor = info.context["actor"]
        if actor.id and userId != actor.id:
            user = await stores.users.by_id(userId) if actor.may(Role.ADMIN) else None
            if user is None or user.disabled:
                return False
            actor = user.actor
        return all(actor.may(_get_required_role(scoped_permission)) for scoped_permission in scopedPermissions)

    @mutation.field("createMyUserAccessKey")
    async def make(_: Any, info: Any, name: str) -> dict[str, Any]:
        actor: Actor = info.context["actor"]
        if not actor.id:
            raise GraphQLError(
                f"{actor.name} belongs to no user, so it has no keys of its own; take a key of a user (My profile)"
            )
        try:
            key = await stores.keys.create(name, user_id=actor.id)
        except ConfigError as error:
            raise GraphQLError(" ".join(filter(None, (f"{error}.", error.hint)))) from None
        await stores.audit.record(actor, "created", kind="access key", object_id=key.id, name=key.name)
        return {"id": key.id, "accessKey": key.key, "name": key.name, "created": key.created, "lastUsed": None}

    @mutation.field("deleteUserAccessKey")
    async def delete(_: Any, info: Any, id: str, tenantId: str, userId: str | None = None) -> bool:
        del tenantId, userId  # The key's own id says all.
        actor: Actor = info.context["actor"]
        key = await stores.keys.get(id)
        # The response does not reveal that another user's key exists.
        if key is None or not (actor.may(Role.ADMIN) or (actor.id and key.user_id == actor.id)):
            raise GraphQLError(f"you have no access key {id}")
        await stores.keys.revoke(key.id)
        detail = {"user": key.user or "the host"}
        await stores.audit.record(actor, "revoked", kind="access key", object_id=key.id, name=key.name, detail=detail)
        return True

    return []


def _to_meta_data(key: AccessKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "created": key.created,
        "lastUsed": key.last_used,
        "userId": key.user_id or None,
        # Users are known by name alone.
        "email": None,
    }


def _get_required_role(permission: Mapping[str, Any]) -> Role:
    """Return the role that a permission takes here.

    The keys of resources and actions are not public: words that mean reading are taken for reading, and resources that
    have to do with users, keys and plug-ins for an administrator's.
    """
    if permission["actionKey"].casefold() in READ_ACTIONS:
        return Role.VIEWER
    resource = permission["resourceKey"].casefold()
    return Role.ADMIN if any(word in resource for word in ADMIN_RESOURCES) else Role.EDITOR
