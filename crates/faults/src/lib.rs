//! Where tests decide what goes wrong. [`fate`] is asked before each step to a backing server in memory; [`mutants`] are faults that are
//! planted into the code to show that the tests find them. A build without debug assertions, such as a release, contains neither:
//! there [`mutants::is_on`] is the constant `false`, and `fate` does not exist.

#[cfg(debug_assertions)]
pub mod fate;
pub mod mutants;
