//! Volumes of managed servers.

/// A claim as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Volume {
    /// The managed server that it belongs to.
    pub server: String,
    /// The size it asks for.
    pub storage: String,
}

/// A claim that must ask for more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Growth {
    /// The managed server.
    pub server: String,
    /// Name of the claim.
    pub claim: String,
    /// The size that the spec asks for.
    pub storage: String,
}
