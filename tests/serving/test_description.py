"""The service does what its OpenAPI description says, for requests that Schemathesis makes up from it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from serving.app import create_app
from serving.settings import Settings
from tests.serving.fixtures import serving
from tests.serving.shop import Shop

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
schema = schemathesis.openapi.from_dict(create_app(Settings()).openapi())
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address(open_shop: Shop) -> Iterator[str]:
    with serving(open_shop.settings) as url:
        yield url


@schema.parametrize()
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_made_up_requests_are_answered_as_described(case: schemathesis.Case, address: str, open_shop: Shop) -> None:
    if isinstance(case.body, dict) and len(str(case.body)) % 2:
        case.body["photo"] = open_shop.photo("a3")  # else nearly all would fail at the photo
    if "article_id" in case.path_parameters and len(case.path_parameters["article_id"]) % 2:
        case.path_parameters["article_id"] = "a3"
    case.call_and_validate(base_url=address, checks=CHECKS)
