"""One table between errors, refusals and gRPC status."""

import inspect

import pytest

from bridge import codec
from bridge.errors import read_refusal, row_of, write_refusal
from twin import errors

ALL = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.TwinError)]


@pytest.mark.parametrize("kind", ALL)
def test_every_error_has_a_line(kind: type[errors.TwinError]) -> None:
    assert issubclass(kind, row_of(kind("why")).error)


@pytest.mark.parametrize(
    "kind",
    [errors.Unauthenticated, errors.PermissionDenied, errors.ProtocolError, errors.Conflict, errors.Overloaded],
)
def test_a_refusal_is_raised_as_what_it_was(kind: type[errors.TwinError]) -> None:
    response = codec.ConnectResponse()
    write_refusal(response, kind("no room"))

    raised = read_refusal(response.refusal)

    assert (type(raised), str(raised)) == (kind, "no room")


@pytest.mark.parametrize("kind", ALL)
def test_only_refusals_that_may_pass_are_tried_again(kind: type[errors.TwinError]) -> None:
    response = codec.ConnectResponse()
    write_refusal(response, kind("why"))

    assert isinstance(read_refusal(response.refusal), errors.Unavailable) == (response.refusal.retry_after_s > 0)
