-- Why: a contact that a precheck calls being unlocked (by a task of ours that was given up, or by somebody
-- else) may show a locked profile until that ends. It is not bought meanwhile: since when that is so.
alter table items add column unlocking_since integer;
