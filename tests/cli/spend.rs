//! Where the credits went, and what they bought nothing for.

use super::town;

#[tokio::test(flavor = "multi_thread")]
async fn spend_sums_by_any_columns_and_claims_name_what_support_needs() {
    let town = town().await;
    town.ok(&["enqueue", "789", "197", "--reference", "list A"]);
    town.ok(&["enqueue", "788", "--phones", "--reference", "list B"]);
    town.work();
    let by = |by: &str| town.ok(&["spend", "--by", by, "--json"]).json();
    let of_references = by("reference,action");
    assert_eq!(of_references[0]["reference"], "list A");
    assert_eq!(of_references[0]["action"], "unlock_contact_emails");
    assert_eq!((&of_references[0]["contacts"], &of_references[0]["credits"]), (&2.into(), &30.into()));
    assert_eq!((&of_references[1]["jobs"], &of_references[1]["credits"]), (&1.into(), &150.into()));
    assert!(of_references[0].get("day").is_none(), "only what is summed by: {of_references}");
    let all = by("account");
    assert_eq!(all.as_array().map(Vec::len), Some(1));
    assert_eq!(all[0]["credits"], 180);
    let day = town.ok(&["spend", "--json"]).json()[0]["day"].clone();
    let day = day.as_str().expect("a day");
    assert_eq!(town.ok(&["spend", "--since", day, "--until", day, "--json"]).json()[0]["credits"], 180);
    assert!(town.ok(&["spend", "--until", "2001-01-01"]).out.contains("no credits were booked"));
    assert!(town.ok(&["spend", "--by", "reference"]).out.ends_with("180 credits in all\n"));
    town.run(&["spend", "--by", "colour"]).with_code(2);
    town.run(&["spend", "--account", "nobody"]).with_code(3);

    let claims = town.ok(&["claims", "--json"]).json();
    let claim = &claims[0];
    assert_eq!(claims.as_array().map(Vec::len), Some(1), "{claims}");
    assert_eq!((&claim["personnel_id"], &claim["outcome"]), (&"197".into(), &"failed".into()));
    assert_eq!((&claim["credits"], &claim["balance"]), (&15.into(), &"charged".into()));
    for column in ["task_id", "x_request_id", "submitted_at"] {
        assert!(claim[column].is_string(), "{column}: {claim}");
    }
    let csv = town.ok(&["claims"]).out;
    assert!(csv.starts_with("account,action,personnel_id,") && csv.lines().count() == 2, "{csv}");
    let file = town.dir.path().join("claims.csv");
    town.ok(&["claims", "-o", file.to_str().expect("UTF-8")]);
    assert_eq!(std::fs::read_to_string(file).expect("written"), csv);
}
