//! What every HTTP service at the edge has: `serve` accepts connections under time limits, `body` reads bounded bodies, `cors` sets the
//! headers for browsers. It knows no routes, callers or error codes.

pub mod body;
pub mod cors;
pub mod serve;
