//! Credits: [`booking`] (the only place that writes holds, charges and shares), [`ledger`] (what may be spent,
//! prices), [`balances`] (what the API says is left), [`settlements`] (what was expected, next to what left the
//! balance).

pub mod balances;
pub mod booking;
pub mod ledger;
pub mod settlements;
