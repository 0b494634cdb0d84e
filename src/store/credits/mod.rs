//! Credits: [`ledger`] (holds, charges, prices), [`balances`] (what the API says is left), [`settlements`]
//! (settlements: what was expected beside what left the balance).

pub mod balances;
pub mod ledger;
pub mod settlements;
