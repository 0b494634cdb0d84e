-- Why: the limits of a day and of a month count what left the balance beyond what was booked, and are read before
-- each paid call: the settlements that show it are found without reading the others.
create index windows_overspent on windows (owner, closed_at) where verdict = 'overspent';
