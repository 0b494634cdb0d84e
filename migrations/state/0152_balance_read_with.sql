-- Why: an account may get another owner and another key at once. What the new key reads is the balance of another
-- pool, and must not close the settlement of the owner before: the fingerprint tells which key read a balance.
alter table balance_snapshots add column read_with text;
