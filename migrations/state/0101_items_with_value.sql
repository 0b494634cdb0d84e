-- Why: erasing emails and phones by age finds what is left to erase without a look at what is not.
create index items_with_value on items (resolved_at) where email is not null or phone is not null;
