-- Why: a figure of credits beyond a trillion makes no sense and is refused where it comes in. A price that was
-- kept before would hold up its account's purchases for ever: it is forgotten, and the price list counts.
delete from prices where credits > 1000000000000;
