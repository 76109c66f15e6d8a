"""The families of endpoints, by the word that stands in endpoints' names and under `hybrid.fallback`."""

from infra.constructs.async_endpoint import AsyncEndpoint
from infra.constructs.live_endpoint import LiveEndpoint
from infra.constructs.realtime_endpoint import RealtimeEndpoint
from infra.constructs.serverless_endpoint import ServerlessEndpoint

FAMILIES: dict[str, type[LiveEndpoint]] = {
    endpoint.family: endpoint for endpoint in (RealtimeEndpoint, ServerlessEndpoint, AsyncEndpoint)
}
