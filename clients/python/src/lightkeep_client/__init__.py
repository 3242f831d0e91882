"""The client of Lightkeep, which keeps LightRAG knowledge graphs safe.

`Client` and `AsyncClient` have the services of the server as attributes; their messages are in `v1`.
"""

from . import v1
from ._async_client import AsyncClient
from ._async_services import AsyncServices
from ._client import Client
from ._errors import LightkeepError, OperationFailed
from ._protect import Protection, protect
from ._retry import Retry
from ._services import Services

__all__ = [
    "AsyncClient",
    "AsyncServices",
    "Client",
    "LightkeepError",
    "OperationFailed",
    "Protection",
    "Retry",
    "Services",
    "protect",
    "v1",
]
