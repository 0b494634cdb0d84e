//! The syntax of faults, for `--help`.

/// The text of `--help` about faults.
pub const GRAMMAR: &str = "\
A fault is [COUNTx: | always:]KIND[=ARGUMENT][@ENDPOINT], for example `lost-answer@unlock`,
`3x:status=503@poll` or `always:slow=2s`. COUNT is 1 unless given, ENDPOINT is any.
ENDPOINT: unlock, unlock-phone, poll, balance, precheck, profile, event (its base unlock),
  visitors, full-access, search (both by company), by-name, list (an event's people), contacts
  (the contact search), linkedin, outreach, any.
KIND, where nothing is carried out:
  status=CODE (or just 500, 401, 403 …)  an error of that status, in the API's shape
  status=CODE:RETRY-AFTER    the same, with that Retry-After as written
  error=CODE:ERRORKEY        an error of that status with that key, for example
                             error=409:CREDIT_OPERATION_IN_PROGRESS
  gateway=CODE               an error of that status that is not the API's own: JSON without
                             errorKey and traceId, as from a gateway
  429[=RETRY-AFTER | =none]  the Retry-After as written (45.5, a date, two as 7|9), or none; else
                             the window's end
  200-error=CODE:ERRORKEY    HTTP 200 with that error in its body
  redirect=URL               307
  refuse-id=ID               a call that names this contact (*13: any ending in 13) is a 400 as a
                             whole; other calls are not touched
  lagging=DURATION           a task younger than that is a 404, as on a replica that lags
  lost-request[=reset]       the connection closes (is reset) without an answer
KIND, where the call is carried out first:
  lost-answer[=close]        then the connection closes without an answer
  lost-answer=reset          then it is reset
  lost-answer=truncate       then it closes after half of the body
  lost-answer=cut:BYTES      then it closes after that many bytes of the answer, head included
  lost-answer=500 (or 502)   then an HTML error page
  lost-answer=timeout        then nothing, for as long as the client waits
  names-task=CODE            then an error of that status whose body names the task (409, 504)
  accepted=STATUS[:NAME]     an acceptance with that status, with the task's id under that name
                             alone: 202, 203:job_id, 201:taskId
  task=WORD                  a task that has ended has that status: processing (endless, with final
                             items), canceled, COMPLETED
  rate=HOW                   the rate headers are absent, milliseconds or from-now (the reset),
                             fraction (7.0), twice (120, 120), contrary (10 calls, none left, for
                             an hour)
  slow=DURATION              the answer comes that late (real time)
  late=DURATION              the call itself is carried out that late (the sandbox's time), and
                             even when the client has gone
  drip                       the body comes at one byte a second
  broken=HOW                 the status is right, the body is not: html (a page), empty, types
                             (every value of another type), truncated (half of the JSON),
                             strangers (items twice, and one not asked for), odd (items that
                             are none), unlisted (no items at all), null-items, unknown (words
                             and fields never heard of), groups (skipped groups of another
                             name), word-id (a task id that is no number), twice (a field
                             twice), bom, gzip, deflate (unasked), deep (nested), huge (200 MiB)
  pass                       nothing goes wrong: lets calls through before the next fault
DURATION is written 250ms, 3s, 5m or 24h.";
