"""Operations on several integrations, and the rarer ones on one."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ariadne import MutationType, QueryType
from graphql import GraphQLError

from rally_accelerate.host.administration import Administration
from rally_accelerate.host.graphql.integrations import Shown
from rally_accelerate.host.graphql.limits import counted
from rally_accelerate.host.graphql.plugins import plugin
from rally_accelerate.host.store.integrations import StoredIntegration
from rally_accelerate.host.stores import Stores


def bind(
    query: QueryType, mutation: MutationType, stores: Stores, *, administration: Administration, shown: Shown
) -> None:
    """Attach the resolvers."""

    async def those(is_wanted: Callable[[StoredIntegration], bool]) -> list[Any]:
        return [await shown(each) for each in await stores.integrations.all() if is_wanted(each)]

    @query.field("integrationsByIds")
    async def by_ids(_: Any, __: Any, ids: list[str]) -> list[Any]:
        counted(ids, "ids")
        # In the order in which they were asked for; those that are not there are left out.
        known = {each.id: each for each in await stores.integrations.all()}
        return [await shown(known[its_id]) for its_id in dict.fromkeys(ids) if its_id in known]

    @query.field("integrationsByTenantId")
    @query.field("integrationsByTenant")
    async def by_tenant(_: Any, __: Any, tenantId: str) -> list[Any]:
        return await those(lambda each: each.tenant_id == tenantId)

    @query.field("integrationsByType")
    async def by_type(_: Any, __: Any, type: str) -> list[Any]:
        return await those(lambda each: each.type == type)

    @query.field("integrationsByCategory")
    async def by_category(_: Any, __: Any, category: str, tenantId: str) -> list[Any]:
        ours = plugin()
        return await those(
            lambda each: (each.type, each.tenant_id) == (ours["pluginId"], tenantId) and category in ours["categories"]
        )

    @query.field("integrationsByActiveState")
    async def by_state(_: Any, __: Any, tenantId: str, activeState: Mapping[str, bool] | None = None) -> list[Any]:
        # "Active" is taken to mean enabled [assumed]. Without the argument nothing is restricted [assumed]. Whether
        # archived ones are asked for does not matter: what is removed here is gone.
        wanted = {True, False} if activeState is None else {activeState["active"]}
        return await those(lambda each: each.tenant_id == tenantId and (not each.disabled) in wanted)

    @mutation.field("editIntegrations")
    async def edit(_: Any, info: Any, ids: list[str], operation: str, tenantId: str) -> list[Any]:
        counted(ids, "ids")
        known = {each.id: each for each in await stores.integrations.all() if each.tenant_id == tenantId}
        wanted = list(dict.fromkeys(ids))
        _all_there(wanted, known)
        on = operation != "DISABLE"
        for its_id in wanted:
            if known[its_id].disabled == on:
                await administration.switch(info.context["actor"], its_id, on=on)
        return [await shown(await stores.integrations.by_id(its_id)) for its_id in wanted]

    @mutation.field("setIntegrationResyncData")
    async def resync_data(_: Any, info: Any, _id: str) -> Any:
        found = await stores.integrations.by_id(_id)
        _all_there([_id], [found.id] if found else [])
        await administration.resync(info.context["actor"], _id)
        return await shown(await stores.integrations.by_id(_id))

    @mutation.field("restoreIntegration")
    async def restore(_: Any, __: Any, _id: str, **___: Any) -> Any:
        found = await stores.integrations.by_id(_id)
        if found is not None:
            # It was never removed: what the caller wants is so.
            return await shown(found)
        raise GraphQLError(f"there is no integration {_id}: what is removed here is gone; add it anew")


def _all_there(ids: Iterable[str], known: Iterable[str]) -> None:
    if unknown := [its_id for its_id in ids if its_id not in set(known)]:
        raise GraphQLError(f"there is no integration {', '.join(unknown[:5])}")
