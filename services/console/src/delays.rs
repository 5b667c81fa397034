//! How long deliveries took: a histogram as processes count it, summed, and the bound below which 99 of 100 messages were.

/// Bounds of the buckets: 2 ms, doubled for each; the last has what took longer.
const BOUNDS: usize = 15;
const FIRST: f64 = 0.002;

/// Messages up to each bound, the earlier bounds' included.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Delays([u64; BOUNDS + 1]);

fn bound(index: usize) -> f64 {
    if index == BOUNDS { f64::INFINITY } else { FIRST * (1_u32 << index) as f64 }
}

impl Delays {
    /// The bucket of labels such as `le="0.016"}`; `None` when there is none with this bound.
    pub(crate) fn bucket(&mut self, labels: &str) -> Option<&mut u64> {
        let text = labels.split_once("le=\"")?.1.split('"').next()?;
        let given: f64 = if text == "+Inf" { f64::INFINITY } else { text.parse().ok()? };
        let is_it = |index: &usize| match bound(*index) {
            whole if whole.is_infinite() => given.is_infinite(),
            whole => (given - whole).abs() < whole / 10.0,
        };
        let index = (0..=BOUNDS).find(is_it)?;
        self.0.get_mut(index)
    }

    pub(crate) fn plus(mut self, other: Self) -> Self {
        for (sum, added) in self.0.iter_mut().zip(other.0) {
            *sum = sum.saturating_add(added);
        }
        self
    }

    pub(crate) fn since(mut self, before: Self) -> Self {
        for (left, gone) in self.0.iter_mut().zip(before.0) {
            *left = left.saturating_sub(gone);
        }
        self
    }

    /// The least bound in seconds that 99 of 100 messages keep; `None` without a message, infinite when more took longer than all bounds.
    pub(crate) fn within_99_of_100(self) -> Option<f64> {
        let all = self.0.last().copied().filter(|all| *all > 0)?;
        let enough = all - all / 100;
        self.0.iter().position(|count| *count >= enough).map(bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_known_by_their_bounds() {
        let mut delays = Delays::default();
        for (labels, count) in
            [("le=\"0.002\"}", 1), ("le=\"0.064\"}", 9), ("le=\"32.768\"}", 9), ("le=\"+Inf\"}", 10)]
        {
            *delays.bucket(labels).unwrap() = count;
        }
        assert_eq!((delays.0[0], delays.0[5], delays.0[14], delays.0[15]), (1, 9, 9, 10));
        assert!(delays.bucket("le=\"0.1\"}").is_none() && delays.bucket("code=\"0\"}").is_none());
        assert_eq!(delays.within_99_of_100(), Some(f64::INFINITY), "a tenth took longer than all bounds");
        assert_eq!(Delays::default().within_99_of_100(), None);
    }
}
