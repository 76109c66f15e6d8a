"""The families of endpoints, by the word that stands in endpoints' names and under `hybrid.fallback`."""

from collections.abc import Callable

from infra.constructs.async_endpoint import FAMILY as ASYNC
from infra.constructs.async_endpoint import AsyncEndpoint
from infra.constructs.live_endpoint import LiveEndpoint
from infra.constructs.realtime_endpoint import FAMILY as REALTIME
from infra.constructs.realtime_endpoint import RealtimeEndpoint
from infra.constructs.serverless_endpoint import FAMILY as SERVERLESS
from infra.constructs.serverless_endpoint import ServerlessEndpoint

FAMILIES: dict[str, Callable[..., LiveEndpoint]] = {
    REALTIME: RealtimeEndpoint,
    SERVERLESS: ServerlessEndpoint,
    ASYNC: AsyncEndpoint,
}
