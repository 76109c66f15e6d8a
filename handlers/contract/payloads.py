"""The largest body of one request, by who carries it: the one table of these limits.

AWS writes MB and GB and means powers of two wherever it states bytes too: 6 MB is 6,291,456 for InvokeEndpoint's body
(botocore's model) and for MAX_CONTENT_LENGTH of its XGBoost container. What InvokeEndpointAsync takes inline is stated
in bytes, and decimal.
"""

MB, GB = 2**20, 2**30

#: Family of SageMaker, as in endpoints' names -> bytes of one request.
FAMILY_BYTES = {"transform": 100 * MB, "realtime": 25 * MB, "serverless": 4 * MB, "async": GB}
#: Bytes that InvokeEndpointAsync takes inline; more goes through S3.
INLINE_BYTES = 128_000
#: Bytes of an upload that an asynchronous endpoint takes.
MAX_UPLOAD_BYTES = FAMILY_BYTES["async"]


def words(size: int) -> str:
    """Return a limit as people write it: `25 MB`, `1 GB`."""
    return f"{size // GB} GB" if size % GB == 0 else f"{size // MB} MB"
