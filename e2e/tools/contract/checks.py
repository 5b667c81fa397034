"""What schemathesis checks beside HTTP and the schemas: no input of any kind ends in an internal error."""

import schemathesis

# These refuse by design, and say what to do instead.
REFUSED = {
    "/config/set_config", "/config/reset_config", "/config/set_enable_config_manager", "/restart", "/friend/get_incremental_blacks",
}
# Routes of the object storage are refused without one; objects.test.mjs has one.
WITHOUT_STORAGE = "object storage is not configured"


@schemathesis.check
def no_internal_error(ctx, response, case):
    if case.path in REFUSED or not response.headers.get("content-type", [""])[0].startswith("application/json"):
        return
    answer = response.json()
    if isinstance(answer, dict) and answer.get("errCode") == 500 and WITHOUT_STORAGE not in answer.get("errDlt", ""):
        raise AssertionError(f"internal error: {answer.get('errDlt')}")
