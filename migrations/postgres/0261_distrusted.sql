-- Why: after a failover that may have lost commits, a worker whose lease was lost with them may still be in the middle of
-- a paid call. When the database was last distrusted, by the server's clock, tells the others how long that can be.
alter table engine add column distrusted_at bigint;
