//! A batch for a handler: records of one partition, limited in number and bytes.

use bytes::Bytes;

use crate::member::Record;

/// No record is added to a batch that has so many bytes: the largest is that and one record. A batch is in memory several times while it is
/// handled, and what it becomes has to fit into calls.
const MAX_BATCH_BYTES: usize = 8 << 20;

/// How often a batch is in memory while it is handled: as it came, decoded, and as what becomes of it.
const COPIES: usize = 4;

/// What a batch of so many bytes takes of the budget.
pub(crate) fn cost(bytes: usize) -> usize {
    bytes * COPIES
}

/// Bytes of a record.
pub(crate) fn size_of(record: &Record<'_>) -> usize {
    record.key().len() + record.payload().len()
}

/// Records of one partition, in order.
#[derive(Debug, Default)]
pub struct Batch {
    /// Key and payload.
    pub records: Vec<(String, Bytes)>,
}

/// A batch in the making.
#[derive(Default)]
pub(crate) struct Gathering {
    pub(crate) batch: Batch,
    /// Taken from the queue, also what came to nothing.
    taken: usize,
    bytes: usize,
    /// Of the newest record.
    pub(crate) last_offset: Option<i64>,
    /// Too old to be handled.
    pub(crate) skipped: u64,
}

impl Gathering {
    /// Adds a record, unless it was produced before `oldest` (ms).
    pub(crate) fn take(&mut self, record: &Record<'_>, oldest: Option<i64>) {
        let key = String::from_utf8_lossy(record.key()).into_owned();
        let payload = Bytes::copy_from_slice(record.payload());
        self.add(key, payload, record.offset(), record.produced(), oldest);
    }

    fn add(&mut self, key: String, payload: Bytes, offset: i64, produced: Option<i64>, oldest: Option<i64>) {
        self.last_offset = Some(offset);
        self.taken += 1;
        if let (Some(produced), Some(oldest)) = (produced, oldest)
            && produced < oldest
        {
            self.skipped += 1;
            return;
        }
        self.bytes += key.len() + payload.len();
        self.batch.records.push((key, payload));
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// An invalid record was read.
    pub(crate) fn failed(&mut self) {
        self.taken += 1;
    }

    pub(crate) fn is_full(&self, batch_size: usize) -> bool {
        self.taken >= batch_size || self.bytes >= MAX_BATCH_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_full_by_number_or_by_bytes() {
        let mut small = Gathering::default();
        for offset in 0..3 {
            assert!(!small.is_full(3));
            small.add("k".into(), Bytes::from_static(b"x"), offset, None, None);
        }
        assert!(small.is_full(3) && !small.is_full(4));
        let mut large = Gathering::default();
        let record = Bytes::from(vec![0; 1 << 20]);
        let mut taken = 0;
        while !large.is_full(1000) {
            large.add("k".into(), record.clone(), taken, None, None);
            taken += 1;
        }
        assert_eq!((taken, large.batch.records.len(), large.last_offset), (8, 8, Some(7)));
    }

    #[test]
    fn what_is_too_old_is_passed_over_and_finished() {
        let mut gathering = Gathering::default();
        for (offset, produced) in [(0, Some(99)), (1, Some(100)), (2, None)] {
            gathering.add("k".into(), Bytes::new(), offset, produced, Some(100));
        }
        assert_eq!(
            (gathering.batch.records.len(), gathering.skipped, gathering.last_offset),
            (2, 1, Some(2))
        );
    }
}
