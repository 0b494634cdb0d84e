//! The rules of the sandbox, in words.

/// The text of `--help` about ids.
pub const RULES: &str = "\
What becomes of a contact follows from the last two digits of its id:
  90  the task ends without naming it
  91  skipped: missing_personnel_ids (its profile is 404)
  92  skipped: unlinked_personnel_ids when an event_id is sent; else unlocked
  93  was unlocked before: skipped, already_unlocked_personnel_ids; its value is in the profile
  94  skipped: invalid_personnel_ids (so is an id that is not 1 to 20 digits)
  95  is being unlocked by another user: skipped, unlocking_personnel_ids; its value
      appears in the profile 10 s after any call first named it
  96  unlocked, with a blank email or phone
  97  failed, with errorCode NO_EMAIL_FOUND or NO_PHONE_FOUND
  98  still processing when the task ends, and ever after
  99  unlocked, without an email or phone
  any other: unlocked, with contact-<id>@example.com or +1-555-01<id>
Accepted contacts are charged when the task is accepted: email 15, phone 150. 90, 97 and 98
are charged like any other and not refunded, unless the sandbox is told to refund failures.
After the task, 90 and 97 can be bought again. Unlocked values are in the profile, in the
event's list and in the contact search (all contacts work for Example Works).

What becomes of an event follows from the end of its id:
  404  not found
  500  tasks submitted with it end as failed, every item with errorCode TASK_FAILED
  999  tasks submitted with it never end
  000  it has no people: its unlock is a 400
  250  found; it has 250 people, <id>001 to <id>250: five pages of 50
  350  found; it has 350 people, <id>001 to <id>350: seven pages of 50
  any other: found; it has 45 people, <id>55 to <id>99
An event whose last digit is odd has visitor data: 10 visitors, <id>10 to <id>19.
An event has two ids, and both are taken: eventId <id>, and id 88<id>.
Unlocking an event costs 2,000 credits once, its visitors 3,000 once (after the event), both
together (full-access) what is missing. Until then a list shows its first 50 people, on page 1.

Searches find 45 items and cost 50 credits for each page that is not empty. A company's or
person's name with \"many\" in it finds 250, which are three pages of 100; one with \"nobody\" in
it finds nothing; one with \"concurrent\" in it makes search-events and by-name answer HTTP 200
with the error body USER_CONCURRENCY_LIMIT_EXCEEDED.

Keys: all keys belong to one owner, but a key that ends in @NAME belongs to owner NAME. Each owner
has credits, tasks, unlocked contacts and events of their own. While a paid call of an owner is
under way (try slow=2s@unlock), another unlock is a 409 CREDIT_OPERATION_IN_PROGRESS, and a
second search-events (or an eleventh by-name) is a USER_CONCURRENCY_LIMIT_EXCEEDED.
";
