//! Limits of what one address holds concurrently.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use parking_lot::Mutex;

/// Concurrent connections by address; cheap to clone. Its size is the number of addresses in use.
#[derive(Clone)]
pub struct Places(Arc<Held>);

struct Held {
    most: usize,
    by_address: Mutex<HashMap<IpAddr, usize>>,
}

/// A place that is held until this is dropped.
pub struct Place {
    held: Arc<Held>,
    address: IpAddr,
}

impl Places {
    /// `most` places for each address; 0: any number.
    pub fn new(most: usize) -> Self {
        let most = if most == 0 { usize::MAX } else { most };
        Self(Arc::new(Held { most, by_address: Mutex::default() }))
    }

    /// One more place; none when the address has all of its own.
    pub fn take(&self, address: IpAddr) -> Option<Place> {
        let mut by_address = self.0.by_address.lock();
        let count = by_address.entry(address).or_default();
        if *count >= self.0.most {
            return None;
        }
        *count += 1;
        Some(Place { held: self.0.clone(), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut by_address = self.held.by_address.lock();
        if let Some(count) = by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_own_places_and_leaves_nothing_behind() {
        let [one, other] = [1, 2].map(|last| IpAddr::from([203, 0, 113, last]));
        let places = Places::new(2);
        let held = [places.take(one), places.take(one)];
        assert!(held.iter().all(Option::is_some) && places.take(one).is_none());
        assert!(places.take(other).is_some());
        drop(held);
        assert!(places.0.by_address.lock().is_empty());
        let any = Places::new(0);
        let held: Vec<_> = (0..1000).map(|_| any.take(one)).collect();
        assert!(held.iter().all(Option::is_some));
    }
}
