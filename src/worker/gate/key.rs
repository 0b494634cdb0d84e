//! A gate's key: only one that the API has not refused is used.
//!
//! A refused key is remembered by its fingerprint, also over a restart. It is used again when a person says that it is
//! valid, or when the API accepts it in one of the free calls that try it again ([`key_retry`]). Another key is used at
//! once. The key itself is never shown or stored.

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use crate::domain::Millis;
use crate::domain::key_retry::{self, RefusedKey};
use crate::domain::turns::Class;
use crate::store::StoreError;
use crate::store::accounts::{self, AccountRow};
use crate::worker::gate::{Gate, Knowledge};

/// A key and its fingerprint, which may be shown and stored.
#[derive(Clone)]
pub struct Key {
    pub(super) secret: SecretString,
    pub fingerprint: String,
}

impl Key {
    pub fn new(secret: SecretString) -> Key {
        let digest = Sha256::digest(secret.expose_secret().as_bytes());
        let fingerprint = hex::encode(&digest[..4]);
        Key { secret, fingerprint }
    }
}

impl Gate {
    /// Whether there is a key that was not refused.
    pub fn has_usable_key(&self) -> bool {
        let knowledge = self.knowledge();
        usable(&knowledge).is_some()
    }

    /// Whether there is a key at all.
    pub fn has_key(&self) -> bool {
        self.knowledge().key.is_some()
    }

    /// The key, for another gate of the same account.
    pub(in crate::worker) fn key(&self) -> Option<Key> {
        self.knowledge().key.clone()
    }

    /// What may be shown of the key.
    pub fn key_fingerprint(&self) -> Option<String> {
        self.knowledge().key.as_ref().map(|key| key.fingerprint.clone())
    }

    /// Takes a key from the configuration. If it differs from the refused key, the gate opens again.
    pub async fn set_key(&self, key: Option<Key>) -> Result<(), StoreError> {
        let reopened = {
            let mut knowledge = self.knowledge();
            knowledge.key = key;
            let reopened = knowledge.refused.is_some() && usable(&knowledge).is_some();
            if reopened {
                knowledge.forgive();
            }
            reopened
        };
        if reopened {
            tracing::info!(account = %self.account, "the account has a new key; going on");
            self.save_refused(None).await?;
        }
        Ok(())
    }

    /// Forgets a refusal and a `Retry-After` if the account's row shows a new resume: a person said that the key is
    /// valid again, and not to wait. Returns whether there was one of them.
    ///
    /// The times of resume and refusal come from the clocks of two processes, so they are not compared.
    pub fn apply_resume(&self, row: &AccountRow) -> bool {
        let mut knowledge = self.knowledge();
        let is_news = knowledge.resumed_at != row.resumed_at;
        knowledge.resumed_at = row.resumed_at;
        // A refusal or a wait in the row was written after the resume.
        let forgotten = is_news && row.refused_key.is_none() && knowledge.forgive();
        if forgotten {
            tracing::info!(account = %self.account, "a person resumed the account; trying its key again");
        }
        let waits = knowledge.rate.blocked_until().is_some_and(|until| until > self.clock.now());
        let unblocked = is_news && row.pause(self.clock.now()).is_none() && waits;
        if unblocked {
            tracing::info!(account = %self.account, "a person resumed the account; not waiting for its Retry-After");
            knowledge.rate.unblock();
        }
        forgotten || unblocked
    }

    /// When a refused key is tried again automatically, with a call that costs nothing.
    pub fn key_try_at(&self) -> Option<Millis> {
        next_try(&self.knowledge())
    }

    pub(super) async fn save_refused(&self, refused: Option<RefusedKey>) -> Result<(), StoreError> {
        let account = self.account.clone();
        self.store
            .write(move |connection| {
                Box::pin(
                    async move { accounts::set_refused_key(connection, &account, refused.as_ref()).await },
                )
            })
            .await
    }
}

impl Knowledge {
    /// Forgets that the key was refused. Returns whether it was.
    pub(super) fn forgive(&mut self) -> bool {
        self.key_tried_at = None;
        self.refused.take().is_some()
    }
}

fn next_try(knowledge: &Knowledge) -> Option<Millis> {
    let refused = knowledge.refused.as_ref().filter(|refused| !refused.why.is_forbidden())?;
    knowledge.key.as_ref().filter(|key| key.fingerprint == refused.fingerprint)?;
    key_retry::next_try(refused.at, knowledge.key_tried_at)
}

/// The refused key, if it is due to be tried again and the call is a free one.
pub(super) fn due_again(knowledge: &Knowledge, class: Class, now: Millis) -> Option<&Key> {
    let is_due = class == Class::Balance && next_try(knowledge).is_some_and(|at| at <= now);
    knowledge.key.as_ref().filter(|_| is_due)
}

pub(super) fn usable(knowledge: &Knowledge) -> Option<&Key> {
    let refused = knowledge.refused.as_ref().map(|refused| &refused.fingerprint);
    knowledge.key.as_ref().filter(|key| refused != Some(&key.fingerprint))
}
