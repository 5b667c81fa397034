//! Metrics of budgets: bytes in use and refusals, by kind.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use crate::{Budget, share_of_process};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    of: &'static str,
}

/// The budgets of a process.
#[derive(Clone, Default)]
pub struct BudgetMetrics {
    limit: Family<Labels, Gauge>,
    in_use: Family<Labels, Gauge>,
    refused: Family<Labels, Counter>,
}

/// The metrics of one budget.
#[derive(Default)]
pub(crate) struct Counted {
    pub(crate) limit: Gauge,
    pub(crate) in_use: Gauge,
    pub(crate) refused: Counter,
}

impl BudgetMetrics {
    /// Registers the metrics.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("memory_budget_bytes", "Memory budget in bytes", metrics.limit.clone());
        registry.register(
            "memory_budget_used_bytes",
            "Bytes of the memory budget in use",
            metrics.in_use.clone(),
        );
        registry.register(
            "memory_budget_refused",
            "Refusals because the memory budget was exhausted",
            metrics.refused.clone(),
        );
        metrics
    }

    /// A budget of this process for the kind `of`. Its size follows from the container's memory limit.
    pub fn budget(&self, of: &'static str) -> Budget {
        let labels = Labels { of };
        let counted = Counted {
            limit: self.limit.get_or_create(&labels).clone(),
            in_use: self.in_use.get_or_create(&labels).clone(),
            refused: self.refused.get_or_create(&labels).clone(),
        };
        Budget::counted(share_of_process(), counted)
    }
}

impl Counted {
    pub(crate) fn held(&self, bytes: usize) {
        self.in_use.inc_by(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    pub(crate) fn given_back(&self, bytes: usize) {
        self.in_use.dec_by(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}
