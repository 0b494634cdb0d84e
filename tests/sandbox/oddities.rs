//! Answers that are odd but usable, each with its own switch.

use serde_json::{Value, json};

use crate::{Town, header, quiet_town, read, send, town_with};

impl Town {
    fn goes_wrong(&self, fault: &str) {
        self.sandbox.inject(fault.parse().expect("the grammar has it"));
    }

    fn polling(&self) -> reqwest::RequestBuilder {
        self.get("/external/contacts/unlock-tasks/321")
    }
}

#[tokio::test]
async fn a_gateways_answer_has_neither_error_key_nor_trace_id_nor_effect() {
    let town = town_with("gateway=404@unlock").await;
    let response = send(town.unlocking(&["1"])).await;
    assert_eq!(response.status(), 404);
    for name in ["x-request-id", "x-ratelimit-limit"] {
        assert_eq!(header(&response, name), None);
    }
    let body: Value = response.json().await.expect("JSON");
    assert_eq!(body, json!({ "message": "no Route matched with those values" }));
    assert_eq!(town.charged("1"), 0);
}

#[tokio::test]
async fn a_lagging_replica_does_not_know_of_a_young_task() {
    let town = town_with("always:lagging=5s@poll").await;
    town.unlock(&["1"]).await;
    assert_eq!(read(town.polling(), 404).await["errorKey"], "NOT_FOUND");
    town.advance(5);
    assert_eq!(town.task("321").await["taskStatus"], "processing");
}

#[tokio::test]
async fn an_acceptance_can_have_another_status_and_name_its_task_otherwise() {
    for (fault, status, body) in [
        ("accepted=202", 202, json!({ "status": "accepted", "task_id": "321" })),
        ("accepted=203:job_id", 203, json!({ "status": "accepted", "job_id": "321" })),
        ("accepted=201:taskId", 201, json!({ "status": "accepted", "taskId": "321" })),
        ("broken=word-id", 201, json!({ "status": "accepted", "task_id": "task-321", "job_id": "task-321" })),
    ] {
        let town = town_with(&format!("{fault}@unlock")).await;
        assert_eq!(read(town.unlocking(&["1"]), status).await, body, "{fault}");
        assert_eq!(town.charged("1"), 1, "{fault}");
        assert!(town.sandbox.journal()[0].carried_out, "{fault}");
    }
}

#[tokio::test]
async fn an_error_can_name_the_task_that_there_is_all_the_same() {
    for (status, has_error_key) in [(409, true), (504, false)] {
        let town = town_with(&format!("names-task={status}@unlock")).await;
        let body = read(town.unlocking(&["1"]), status).await;
        assert_eq!((&body["task_id"], body.get("errorKey").is_some()), (&json!("321"), has_error_key));
        assert_eq!(town.charged("1"), 1);
    }
}

#[tokio::test]
async fn a_task_can_end_with_another_word_and_keep_its_items() {
    for word in ["processing", "canceled", "COMPLETED"] {
        let town = quiet_town().await;
        town.goes_wrong(&format!("always:task={word}@poll"));
        town.unlock(&["1"]).await;
        assert_eq!(town.task("321").await["taskStatus"], "pending");
        town.advance(12);
        let task = town.task("321").await;
        assert_eq!((&task["taskStatus"], &task["items"][0]["status"]), (&json!(word), &json!("unlocked")));
        assert_eq!(task["items"][0]["email"], "contact-1@example.com");
    }
}

#[tokio::test]
async fn a_call_is_refused_as_a_whole_for_one_of_its_contacts() {
    let town = town_with("always:refuse-id=*13@unlock").await;
    let error = read(town.unlocking(&["1", "213"]), 400).await;
    assert_eq!(error["message"], "value \"*13\" is out of range for type bigint");
    town.unlock(&["1", "2"]).await;
    assert_eq!((town.charged("1"), town.charged("213")), (1, 0));
}

#[tokio::test]
async fn a_body_can_have_a_bom_a_field_twice_or_an_encoding_nobody_asked_for() {
    let town = quiet_town().await;
    let plain = send(town.get("/external/credits/balance")).await.bytes().await.expect("a body");
    let broken = async |how: &str| {
        town.goes_wrong(&format!("broken={how}@balance"));
        let response = send(town.get("/external/credits/balance")).await;
        let encoding = header(&response, "content-encoding");
        (encoding, response.bytes().await.expect("a body"))
    };
    assert_eq!(broken("bom").await, (None, [b"\xef\xbb\xbf", &plain[..]].concat().into()));
    let (_, twice) = broken("twice").await;
    let twice = String::from_utf8(twice.to_vec()).expect("text");
    assert_eq!(twice.matches("\"addonAmount\"").count(), 2, "{twice}");
    assert!(serde_json::from_str::<Value>(&twice).is_ok(), "{twice}");
    // Stored blocks: the bytes are unchanged, between a header and a checksum.
    let (encoding, gzip) = broken("gzip").await;
    assert_eq!(encoding.as_deref(), Some("gzip"));
    assert_eq!((&gzip[..3], &gzip[15..gzip.len() - 8]), (&[0x1f, 0x8b, 8][..], &plain[..]));
    assert_eq!(gzip[gzip.len() - 8..gzip.len() - 4], crc(&plain).to_le_bytes());
    let (encoding, zlib) = broken("deflate").await;
    assert_eq!((encoding.as_deref(), &zlib[7..zlib.len() - 4]), (Some("deflate"), &plain[..]));
}

/// Bit by bit, as in the standard.
fn crc(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

#[tokio::test]
async fn a_list_can_be_null_and_a_group_can_have_another_name() {
    let town = town_with("broken=null-items@search").await;
    let search = town.post("/external/exhibitors/search-events", &json!({ "company_name": "nobody" }));
    let answer = read(search, 201).await;
    assert_eq!((&answer["items"], &answer["total"]), (&Value::Null, &json!(0)));
    town.goes_wrong("broken=groups@unlock");
    let answer = town.unlock(&["1093", "1091"]).await;
    assert_eq!(answer["skipped_detail"], json!({ "already_unlocked": ["1093"], "missing": ["1091"] }));
}

#[tokio::test]
async fn a_retry_after_can_be_a_fraction_or_come_twice() {
    let town = quiet_town().await;
    for (fault, values) in [
        ("429=45.5@balance", vec!["45.5"]),
        ("429= 60 @balance", vec!["60"]),
        ("429=7|9@balance", vec!["7", "9"]),
        ("status=503:2|11@balance", vec!["2", "11"]),
    ] {
        town.goes_wrong(fault);
        let response = send(town.get("/external/credits/balance")).await;
        let found: Vec<&str> = response
            .headers()
            .get_all("retry-after")
            .iter()
            .map(|value| value.to_str().expect("text"))
            .collect();
        assert_eq!(found, values, "{fault}");
    }
}

#[tokio::test]
async fn rate_headers_can_be_odd_or_absent() {
    let town = quiet_town().await;
    let now_s = town.sandbox.now_ms() / 1000;
    let near = |text: &str, expected: i64| {
        let difference = text.parse::<i64>().expect("a number") - expected;
        assert!((0..=1).contains(&difference), "{text} instead of {expected}");
    };
    let figures = async |how: &str| {
        town.goes_wrong(&format!("rate={how}@balance"));
        let response = send(town.get("/external/credits/balance")).await;
        assert_eq!(response.status(), 200);
        ["limit", "remaining", "reset"]
            .map(|name| header(&response, &format!("x-ratelimit-{name}")).unwrap_or_default())
    };
    assert_eq!(figures("absent").await, ["", "", ""]);
    let [_, _, reset] = figures("milliseconds").await;
    near(reset.strip_suffix("000").expect("milliseconds"), now_s + 60);
    assert_eq!(figures("from-now").await, ["120", "117", "60"]);
    let [limit, remaining, _] = figures("fraction").await;
    assert_eq!((limit.as_str(), remaining.as_str()), ("120.0", "116.0"));
    let [limit, remaining, _] = figures("twice").await;
    assert_eq!((limit.as_str(), remaining.as_str()), ("120, 120", "115, 115"));
    let [limit, remaining, reset] = figures("contrary").await;
    assert_eq!((limit.as_str(), remaining.as_str()), ("10", "0"));
    near(&reset, now_s + 3_600);
}
