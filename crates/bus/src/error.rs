//! Errors, and whether a retry may succeed.

use rdkafka::types::RDKafkaErrorCode as Code;

/// A failure of the bus. The outcome of a produce that failed is unknown.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// Kafka refused, or did not answer in time.
    #[error("Kafka: {0}")]
    Kafka(#[from] rdkafka::error::KafkaError),
    /// Keys would have partitions that do not exist.
    #[error(
        "topic {topic} has {there} partitions, but kafka.partitions is {wanted}: run `openim-server migrate` to add them"
    )]
    TooFewPartitions {
        /// The topic.
        topic: String,
        /// Its partitions.
        there: usize,
        /// The setting.
        wanted: i32,
    },
    /// No broker can be asked.
    #[error("Kafka: {error}; client: {seen}")]
    Unreachable {
        /// The outcome.
        error: rdkafka::error::KafkaError,
        /// What went wrong on the way.
        seen: String,
    },
    /// A broker refused a request or did not answer it.
    #[error("Kafka: {request}: {reason}")]
    Broker {
        /// Name of the request in Kafka's protocol.
        request: &'static str,
        /// The broker's message, or why there is none.
        reason: String,
    },
    /// The producer failed permanently: the process has to restart.
    #[error("the Kafka producer failed permanently: {0}")]
    ProducerFailed(String),
}

impl BusError {
    fn code(&self) -> Option<Code> {
        match self {
            Self::Kafka(error) => error.rdkafka_error_code(),
            _ => None,
        }
    }

    /// No broker answered, or too few have a copy.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
            || matches!(
                self.code(),
                Some(
                    Code::MessageTimedOut
                        | Code::OperationTimedOut
                        | Code::RequestTimedOut
                        | Code::BrokerTransportFailure
                        | Code::AllBrokersDown
                        | Code::Resolve
                        | Code::LeaderNotAvailable
                        | Code::NotLeaderForPartition
                        | Code::NotEnoughReplicas
                        | Code::NotEnoughReplicasAfterAppend
                )
            )
    }

    /// Kafka will never accept this record: retrying it would block forever. Other errors may be temporary.
    pub fn is_refusal(&self) -> bool {
        matches!(
            self.code(),
            Some(
                Code::MessageSizeTooLarge
                    | Code::MessageBatchTooLarge
                    | Code::InvalidMessageSize
                    | Code::InvalidRecord
                    | Code::InvalidTimestamp
            )
        )
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::error::KafkaError;

    use super::*;

    #[test]
    fn only_what_can_never_pass_is_a_refusal() {
        for (code, refusal, unreachable) in [
            (Code::MessageSizeTooLarge, true, false),
            (Code::MessageBatchTooLarge, true, false),
            (Code::InvalidMessageSize, true, false),
            (Code::InvalidRecord, true, false),
            (Code::InvalidTimestamp, true, false),
            (Code::MessageTimedOut, false, true),
            (Code::NotEnoughReplicas, false, true),
            (Code::BrokerTransportFailure, false, true),
            (Code::QueueFull, false, false),
            (Code::UnknownTopicOrPartition, false, false),
            (Code::TopicAuthorizationFailed, false, false),
            (Code::PolicyViolation, false, false),
            (Code::Fatal, false, false),
        ] {
            let error = BusError::from(KafkaError::MessageProduction(code));
            assert_eq!((error.is_refusal(), error.is_unreachable()), (refusal, unreachable), "{code:?}");
        }
        assert!(!BusError::from(KafkaError::Canceled).is_refusal());
        assert!(!BusError::ProducerFailed("x".into()).is_refusal());
    }
}
