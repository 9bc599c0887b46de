"""The API application, and the OpenAPI document generated from its operations."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from connector.api import (
    bank_details,
    bank_statements,
    brand,
    outbox,
    overview,
    policy,
    problems,
    receivables,
    reports,
    schemas,
    tasks,
)
from connector.api.api_route import CallLimits
from connector.app_context import AppContext

PREFIX = "/api/v1"
_DESCRIPTION = (
    "Everything you can do in the web app and on the command line, for programs. Amounts are strings with their"
    " currency beside them; `_at` is an instant in UTC, `_on` a date. Lists are paginated: to get the next page, repeat"
    " the request with `cursor` set to `next`. A change sent with an `Idempotency-Key` is made once, however often it"
    " is sent within a day. Every error says what happened, what it means and what to do."
)
_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "schema": {"type": "string", "maxLength": 200},
    "description": "A unique string of your choice for each change.",
}


def build_api(app: AppContext) -> FastAPI:
    """Build the API of an installation, to be mounted at ``PREFIX``."""
    api = FastAPI(
        title="duewell",
        version="1",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
    )
    api.state.app = app
    api.state.call_limits = CallLimits(app.now)
    problems.register_handlers(api)
    for operations in (overview, bank_details, bank_statements, brand, outbox, receivables, tasks, policy, reports):
        api.include_router(operations.router)
    api.openapi = lambda: _build_openapi(api)  # type: ignore[method-assign]
    return api


def _operation_id(route: APIRoute) -> str:
    return route.name


def _build_openapi(api: FastAPI) -> dict[str, Any]:
    """Build the OpenAPI document; each operation can return a problem, and each change accepts an Idempotency-Key."""
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
            operation["responses"]["default"] = {
                "description": "An error, with what it means and what to do.",
                "content": content,
            }
            if method != "get":
                operation.setdefault("parameters", []).append(_IDEMPOTENCY_KEY)
    api.openapi_schema = document
    return document
