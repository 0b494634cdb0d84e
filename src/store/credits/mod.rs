//! Credits: [`booking`] (the only place that writes holds, charges and shares), [`ledger`] (what may be spent,
//! prices), [`balances`] (as the API reported them), [`settlements`] (credits expected and credits that left the
//! balance).

pub mod balances;
pub mod booking;
pub mod exceeded;
pub mod ledger;
pub mod settlements;
pub mod warnings;
