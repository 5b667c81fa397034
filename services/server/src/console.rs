//! The console in this program.

use console::{ConsoleMetrics, ConsoleService, Parts};

use crate::run::{Process, listen};

impl Process {
    /// Serves its port.
    pub(crate) fn start_console(&mut self) -> anyhow::Result<()> {
        let listener = listen(self.config.console.port, "console.port")?;
        let service = ConsoleService::new(Parts {
            config: self.config.clone(),
            peers: self.peers.clone(),
            clock: self.clock.clone(),
            bodies: self.budgets.bodies.clone(),
            metrics: ConsoleMetrics::register(&mut self.metrics.0),
            version: env!("CARGO_PKG_VERSION"),
        })?;
        self.spawn("console", service.run(listener, self.stop.clone()));
        Ok(())
    }
}
