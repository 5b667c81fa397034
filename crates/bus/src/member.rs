//! What a consumer asks of its group and of its partitions: of librdkafka, or, in builds with debug assertions, of a log in memory.

use std::{sync::Arc, time::Duration};

use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{CommitMode, Consumer as _, StreamConsumer, stream_consumer::StreamPartitionQueue},
    error::{KafkaError, KafkaResult},
    message::BorrowedMessage,
};

use crate::consumer::Context;
#[cfg(debug_assertions)]
use crate::memory;

/// A member of a group.
#[derive(Clone)]
pub(crate) enum Member {
    Kafka(Arc<StreamConsumer<Context>>),
    #[cfg(debug_assertions)]
    Memory(Arc<memory::Member>),
}

/// The records of one partition.
pub(crate) enum Queue {
    Kafka(StreamPartitionQueue<Context>),
    #[cfg(debug_assertions)]
    Memory(Arc<memory::Member>, i32),
}

/// A record where it was received.
pub(crate) enum Record<'a> {
    Kafka(BorrowedMessage<'a>),
    #[cfg(debug_assertions)]
    Memory(memory::Entry),
    #[cfg(not(debug_assertions))]
    #[allow(dead_code)] // Never made.
    Never(std::convert::Infallible),
}

impl Record<'_> {
    pub(crate) fn key(&self) -> &[u8] {
        match self {
            Self::Kafka(record) => record.key().unwrap_or_default(),
            #[cfg(debug_assertions)]
            Self::Memory(entry) => entry.key.as_bytes(),
            #[cfg(not(debug_assertions))]
            Self::Never(never) => match *never {},
        }
    }

    pub(crate) fn payload(&self) -> &[u8] {
        match self {
            Self::Kafka(record) => record.payload().unwrap_or_default(),
            #[cfg(debug_assertions)]
            Self::Memory(entry) => &entry.payload,
            #[cfg(not(debug_assertions))]
            Self::Never(never) => match *never {},
        }
    }

    pub(crate) fn offset(&self) -> i64 {
        match self {
            Self::Kafka(record) => record.offset(),
            #[cfg(debug_assertions)]
            Self::Memory(entry) => entry.offset,
            #[cfg(not(debug_assertions))]
            Self::Never(never) => match *never {},
        }
    }

    /// When it was produced, in ms.
    pub(crate) fn produced(&self) -> Option<i64> {
        match self {
            Self::Kafka(record) => record.timestamp().to_millis(),
            #[cfg(debug_assertions)]
            Self::Memory(_) => None,
            #[cfg(not(debug_assertions))]
            Self::Never(never) => match *never {},
        }
    }
}

impl Queue {
    /// The next record. Nothing is lost when this is given up.
    pub(crate) async fn recv(&self) -> Result<Record<'_>, KafkaError> {
        match self {
            Self::Kafka(queue) => queue.recv().await.map(Record::Kafka),
            #[cfg(debug_assertions)]
            Self::Memory(member, partition) => Ok(Record::Memory(member.recv(*partition).await)),
        }
    }
}

impl Member {
    pub(crate) fn subscribe(&self, topic: &str) -> KafkaResult<()> {
        match self {
            Self::Kafka(consumer) => consumer.subscribe(&[topic]),
            #[cfg(debug_assertions)]
            Self::Memory(member) => {
                member.join();
                Ok(())
            }
        }
    }

    pub(crate) fn unsubscribe(&self) {
        match self {
            Self::Kafka(consumer) => consumer.unsubscribe(),
            #[cfg(debug_assertions)]
            Self::Memory(member) => member.leave(),
        }
    }

    /// Serves the group; records come here only by mistake.
    pub(crate) async fn recv(&self) -> Result<BorrowedMessage<'_>, KafkaError> {
        match self {
            Self::Kafka(consumer) => consumer.recv().await,
            #[cfg(debug_assertions)]
            Self::Memory(_) => std::future::pending().await,
        }
    }

    pub(crate) fn seek(&self, topic: &str, partition: i32, offset: i64) -> KafkaResult<()> {
        match self {
            Self::Kafka(consumer) => {
                consumer.seek(topic, partition, Offset::Offset(offset), Duration::from_secs(5))
            }
            #[cfg(debug_assertions)]
            Self::Memory(_) => Ok(()),
        }
    }

    pub(crate) fn assign(&self, list: &TopicPartitionList) -> KafkaResult<()> {
        match self {
            Self::Kafka(consumer) => consumer.incremental_assign(list),
            #[cfg(debug_assertions)]
            Self::Memory(member) => {
                member.assign(list);
                Ok(())
            }
        }
    }

    pub(crate) fn unassign(&self, list: &TopicPartitionList) -> KafkaResult<()> {
        match self {
            Self::Kafka(consumer) => consumer.incremental_unassign(list),
            #[cfg(debug_assertions)]
            Self::Memory(member) => {
                member.unassign(list);
                Ok(())
            }
        }
    }

    pub(crate) fn queue(&self, topic: &str, partition: i32) -> Option<Queue> {
        match self {
            Self::Kafka(consumer) => consumer.split_partition_queue(topic, partition).map(Queue::Kafka),
            #[cfg(debug_assertions)]
            Self::Memory(member) => Some(Queue::Memory(member.clone(), partition)),
        }
    }

    pub(crate) fn commit(&self, offsets: &TopicPartitionList, mode: CommitMode) -> KafkaResult<()> {
        match self {
            Self::Kafka(consumer) => consumer.commit(offsets, mode),
            #[cfg(debug_assertions)]
            Self::Memory(member) => member.commit(offsets),
        }
    }

    /// From here on, rebalances are answered while the consumer is dropped.
    pub(crate) fn close(&self) {
        match self {
            Self::Kafka(consumer) => consumer.context().close(),
            #[cfg(debug_assertions)]
            Self::Memory(_) => {}
        }
    }

    /// Runs what waits for a broker, where it holds nobody up.
    pub(crate) async fn wait_for(&self, work: impl FnOnce() + Send + 'static) {
        match self {
            Self::Kafka(_) => _ = tokio::task::spawn_blocking(work).await,
            #[cfg(debug_assertions)]
            Self::Memory(_) => work(),
        }
    }
}
