"""Every public error.

    Exception
    └── UnreachableError               a bug in stepserve
    Error (an Exception)
    ├── CodedError                     a code chosen where it is raised
    │   └── URLInvalidError
    ├── ConfigurationError             the program is set up wrongly; raised while it starts
    │   ├── FunctionConfigInvalidError     a function's options
    │   ├── SigningKeyMissingError
    │   ├── SigningKeyInvalidError
    │   ├── EventKeyUnspecifiedError
    │   └── DependencyMissingError         `ctx.get()` found nothing
    ├── RequestError                   what arrived cannot be served
    │   ├── UnauthorizedError              401, and nothing is told to the sender
    │   │   ├── HeaderMissingError
    │   │   ├── SignatureMalformedError
    │   │   ├── SignatureExpiredError
    │   │   └── SigVerificationFailedError
    │   ├── BodyInvalidError
    │   ├── QueryParamMissingError
    │   └── FunctionNotFoundError
    ├── EventInvalidError              an event that cannot be sent, or does not have its type; never retried
    ├── SendEventsError                the server took only some of the events, or none
    ├── RegistrationFailedError        the server did not accept the app's functions
    ├── UnknownError                   for whatever has no class of its own
    ├── StateUnavailableError          a run's state could not be fetched
    ├── ConnectError                   a worker is not connected to the server, or cannot be
    │   └── ConnectRefusedError            and trying again would not help
    ├── ServerAPIError                 the server's REST API refused a request, does not know it, or was not reached
    ├── DecryptionError                something was encrypted with another key
    ├── UnsupportedByServerError       the server lacks something that the function uses; never retried
    ├── AsyncUnsupportedError          something async was reached from a sync function
    ├── OutputUnserializableError      an output that JSON cannot carry; never retried
    ├── MemoMismatchError              a memo that does not fit the type of its step (any more); retried
    ├── StepUnexpectedError            the server asked for a step that the function does not reach
    ├── DeterminismError               a function that does not replay, under STEPSERVE_STRICT=1; never retried
    ├── EndpointUnsupportedError       a durable endpoint answered with too much, or no response; never retried
    ├── StaleDispatchError             the server has given up the call that is under way; nobody hears this answer
    ├── StepOutsideFunctionError       a step was used after its function had ended
    ├── NonRetriableError              raised by users: do not try again
    ├── RetryAfterError                raised by users: try again, but not before
    └── StepError                      a step failed for good; raised where its result was expected

Wire codes and retry rules: protocol.md section 11. `status` is the HTTP status an error becomes.
"""

from stepserve_core.errors.base import (
    CodedError,
    Error,
    UnknownError,
    UnreachableError,
    URLInvalidError,
    is_quiet,
    is_retriable,
)
from stepserve_core.errors.requests import (
    BodyInvalidError,
    FunctionNotFoundError,
    HeaderMissingError,
    QueryParamMissingError,
    RequestError,
    SignatureExpiredError,
    SignatureMalformedError,
    SigVerificationFailedError,
    UnauthorizedError,
)
from stepserve_core.errors.runs import (
    AsyncUnsupportedError,
    DecryptionError,
    DeterminismError,
    EndpointUnsupportedError,
    EventInvalidError,
    MemoMismatchError,
    NonRetriableError,
    OutputUnserializableError,
    RetryAfterError,
    StaleDispatchError,
    StepError,
    StepOutsideFunctionError,
    StepUnexpectedError,
)
from stepserve_core.errors.server import (
    ConnectError,
    ConnectRefusedError,
    RegistrationFailedError,
    SendEventsError,
    ServerAPIError,
    StateUnavailableError,
    UnsupportedByServerError,
)
from stepserve_core.errors.setup import (
    ConfigurationError,
    DependencyMissingError,
    EventKeyUnspecifiedError,
    FunctionConfigInvalidError,
    SigningKeyInvalidError,
    SigningKeyMissingError,
)

__all__ = [
    "AsyncUnsupportedError",
    "BodyInvalidError",
    "CodedError",
    "ConfigurationError",
    "ConnectError",
    "ConnectRefusedError",
    "DecryptionError",
    "DependencyMissingError",
    "DeterminismError",
    "EndpointUnsupportedError",
    "Error",
    "EventInvalidError",
    "EventKeyUnspecifiedError",
    "FunctionConfigInvalidError",
    "FunctionNotFoundError",
    "HeaderMissingError",
    "MemoMismatchError",
    "NonRetriableError",
    "OutputUnserializableError",
    "QueryParamMissingError",
    "RegistrationFailedError",
    "RequestError",
    "RetryAfterError",
    "SendEventsError",
    "ServerAPIError",
    "SigVerificationFailedError",
    "SignatureExpiredError",
    "SignatureMalformedError",
    "SigningKeyInvalidError",
    "SigningKeyMissingError",
    "StaleDispatchError",
    "StateUnavailableError",
    "StepError",
    "StepOutsideFunctionError",
    "StepUnexpectedError",
    "URLInvalidError",
    "UnauthorizedError",
    "UnknownError",
    "UnreachableError",
    "UnsupportedByServerError",
    "is_quiet",
    "is_retriable",
]
