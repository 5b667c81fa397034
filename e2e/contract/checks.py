"""What schemathesis checks beside HTTP and the schemas: no input of any kind ends in an internal error."""

import schemathesis

# These refuse by design, and say where the configuration is declared.
REFUSED = {"/config/set_config", "/config/reset_config", "/config/set_enable_config_manager", "/restart"}


@schemathesis.check
def no_internal_error(ctx, response, case):
    if case.path in REFUSED or not response.headers.get("content-type", [""])[0].startswith("application/json"):
        return
    answer = response.json()
    if isinstance(answer, dict) and answer.get("errCode") == 500:
        raise AssertionError(f"internal error: {answer.get('errDlt')}")
