"""Puts the operations together, and describes them: the OpenAPI document is made from the very functions."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from connector.api import outbox, overview, policy, problems, receivables, reports, schemas, tasks
from connector.api.api_route import RateLimiter
from connector.app_context import AppContext

PREFIX = "/api/v1"
_DESCRIPTION = (
    "What people do on duewell's pages and at its terminal, for programs. Sums are texts with their currency beside"
    " them, `_at` is an instant in UTC, `_on` a day. Lists come in parts: ask again with `cursor` set to `next`. A"
    " change sent with an `Idempotency-Key` happens once, however often it is sent within a day. Every problem says"
    " what happened, what it means and what to do."
)
_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "schema": {"type": "string", "maxLength": 200},
    "description": "Any text of yours, another one for each change.",
}


def build_api(app: AppContext) -> FastAPI:
    """Make the API of one installation, to be mounted at ``PREFIX``."""
    api = FastAPI(
        title="duewell", version="1", docs_url=None, redoc_url=None, generate_unique_id_function=_operation_id
    )
    api.state.app = app
    api.state.rates = RateLimiter(app.now)
    problems.register_handlers(api)
    for operations in (overview, outbox, receivables, tasks, policy, reports):
        api.include_router(operations.router)
    api.openapi = lambda: _build_openapi(api)  # type: ignore[method-assign]
    return api


def _operation_id(route: APIRoute) -> str:
    return route.name


def _build_openapi(api: FastAPI) -> dict[str, Any]:
    """Describe the operations; a problem may come back from each, and what changes something takes a key."""
    if api.openapi_schema is not None:
        return api.openapi_schema
    document = get_openapi(
        title=api.title, version=api.version, description=_DESCRIPTION, routes=api.routes, servers=[{"url": PREFIX}]
    )
    problem = schemas.Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    document["components"]["schemas"]["Problem"] = problem
    for name in ("HTTPValidationError", "ValidationError"):  # FastAPI's own; ours are Problems
        document["components"]["schemas"].pop(name, None)
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for path in document["paths"].values():
        for method, operation in path.items():
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = {"description": "It was not done, and why.", "content": content}
            if method != "get":
                operation.setdefault("parameters", []).append(_IDEMPOTENCY_KEY)
    api.openapi_schema = document
    return document
