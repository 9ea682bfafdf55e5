"""What the fuzzer must know of the server.

Every generated call comes from an address of its own, because the windows of callers without a good credential are
counted by address and would end the run early. And no call may take the run's own key away, which would leave the rest
of the run untested.
"""

import ipaddress
import itertools
import os
import uuid

import schemathesis

_addresses = itertools.count(int(ipaddress.IPv4Address("100.64.0.1")))
_own_key = os.environ["CONTRACT_KEY_ID"]


@schemathesis.hook
def before_call(context, case, kwargs):
    case.headers["X-Forwarded-For"] = str(ipaddress.IPv4Address(next(_addresses)))
    if case.path_parameters and case.path_parameters.get("id") == _own_key:
        case.path_parameters["id"] = str(uuid.uuid4())
