//! Hosts that clients come in by, and the objects that use or want them.

use jiff::Timestamp;

/// The kind of object that uses a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// An Ingress.
    Ingress,
    /// An HTTPRoute.
    Route,
}

/// A host of an Ingress class or listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Door {
    /// What opens it.
    pub kind: Kind,
    /// The Ingress class, empty: not known, perhaps any; or namespace/name of a Gateway.
    pub at: String,
    /// The listener of a Gateway; empty: all.
    pub listener: String,
    /// The host; empty: all that nobody names.
    pub host: String,
}

impl Door {
    /// Whether both are the same host at the same place, as far as is known.
    pub fn is_same(&self, other: &Self) -> bool {
        let either = |one: &str, two: &str| one == two || one.is_empty() || two.is_empty();
        let at = if self.kind == Kind::Ingress { either(&self.at, &other.at) } else { self.at == other.at };
        self.kind == other.kind && at && either(&self.listener, &other.listener) && self.host == other.host
    }
}

/// An object that uses, or wants, hosts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Neighbour {
    /// Kind of the object.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// The hosts desired by its spec; empty for objects other than `OpenIMCluster`, which do not wait.
    pub wants: Vec<Door>,
    /// The hosts that it uses.
    pub has: Vec<Door>,
    /// What it uses of external servers (`shared.rs`).
    pub shared: Vec<String>,
}

impl Neighbour {
    /// Whether it uses this host.
    pub fn holds(&self, door: &Door) -> bool {
        self.has.iter().any(|had| had.is_same(door))
    }

    pub(crate) fn rank(&self, door: &Door) -> (bool, Option<Timestamp>, &str, &str) {
        (!self.holds(door), self.created, &self.namespace, &self.name)
    }

    /// Whether it goes before `own` through a door.
    pub fn is_before(&self, own: &Self, door: &Door) -> bool {
        let asks = self.wants.iter().any(|wanted| wanted.is_same(door));
        // What stands there already is not of those that wait their turn; nor does it push out who came first.
        let stranger = self.wants.is_empty() && self.holds(door) && !own.holds(door);
        stranger || asks && self.rank(door) < own.rank(door)
    }
}
