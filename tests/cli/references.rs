//! Callers know their requests by reference: lists, exports and cancellations take it.

use super::{careful_town, town};

fn ids(value: &serde_json::Value) -> Vec<i64> {
    value.as_array().expect("an array").iter().filter_map(|row| row["id"].as_i64()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_and_exports_are_filtered_by_the_exact_reference() {
    let town = town().await;
    town.ok(&["enqueue", "789", "--reference", "crm-17"]);
    town.ok(&["enqueue", "788", "--reference", "crm-170"]);
    town.ok(&["enqueue", "787", "--reference", "crm-17"]);
    town.ok(&["enqueue", "--search-companies", "Acme", "--reference", "crm-17"]);
    town.ok(&["enqueue", "786"]);
    let listed = |reference: &str| ids(&town.ok(&["requests", "--json", "--reference", reference]).json());
    // Also before a worker has taken them.
    assert_eq!(listed("crm-17"), [4, 3, 1]);
    town.work();
    town.ok(&["enqueue", "785", "--reference", "crm-17"]);
    assert_eq!((listed("crm-17"), listed("crm")), (vec![6, 4, 3, 1], vec![]));
    let new = town.ok(&["requests", "--json", "--reference", "crm-17", "--status", "new"]).json();
    assert_eq!(ids(&new), [6]);

    let exported = town.ok(&["export", "--reference", "crm-17", "--json"]).out;
    let rows: Vec<serde_json::Value> =
        exported.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let of: Vec<i64> = rows.iter().filter_map(|row| row["request_id"].as_i64()).collect();
    assert_eq!(of, [1, 3, 4]);
    assert!(rows.iter().all(|row| row["reference"] == "crm-17"), "{exported}");
    let csv = town.ok(&["export", "--reference", "crm-17"]).out;
    assert_eq!(csv.lines().count(), 3, "a header and two contacts: {csv}");
    let gone = town.run(&["export", "--reference", "crm-18"]).with_code(3).err;
    assert!(gone.contains("no request with the reference crm-18"), "{gone}");
    town.run(&["export", "--reference", "crm-17", "--request", "1"]).with_code(2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reference_cancels_all_of_its_requests_and_no_other() {
    let town = careful_town().await;
    town.ok(&["enqueue", "789", "--reference", "crm-17"]);
    town.ok(&["enqueue", "788", "--reference", "crm-17"]);
    town.ok(&["enqueue", "787", "--reference", "crm-18"]);
    town.run(&["run", "--until-idle"]).with_code(4);
    // Not taken yet.
    town.ok(&["enqueue", "786", "--reference", "crm-17"]);
    let cancelled = town.ok(&["cancel", "--reference", "crm-17", "--json"]).json();
    assert_eq!(ids(&cancelled), [1, 2, 4]);
    let statuses: Vec<String> =
        (1..=4).map(|id| town.request(id)["status"].as_str().expect("a word").to_owned()).collect();
    assert_eq!(statuses, ["cancelled", "cancelled", "awaiting_approval", "cancelled"]);
    let again = town.run(&["cancel", "--reference", "crm-17"]).with_code(4).err;
    assert!(again.contains("nothing was changed"), "{again}");
    town.run(&["cancel", "--reference", "crm-19"]).with_code(3);
    town.run(&["cancel"]).with_code(2);
    town.run(&["cancel", "3", "--reference", "crm-18"]).with_code(2);
    assert_eq!(town.sandbox.accounting().charged_total, 0);
}
