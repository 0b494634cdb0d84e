//! Signing in: who may sign in, who may not, and for how long.

use std::time::Duration;

use reqwest::Method;

use crate::place::{Place, TOKEN, read, write_token};
use crate::support::Setup;

async fn place() -> Place {
    Place::with_token(Setup::default()).await
}

#[tokio::test]
async fn the_token_opens_a_session_that_no_script_and_no_other_site_can_use() {
    let mut place = place().await;
    assert!(place.get("/").await.shows("Sign in"));
    let answer = place.post("/session", &[("token", TOKEN)]).await;
    assert_eq!(answer.status, 303);
    let proof = answer.header("location").strip_prefix("/#proof=").expect("behind the #: sent to nobody");
    assert!(proof.len() >= 64 && !answer.header("set-cookie").contains(proof), "{proof}");
    let cookie = answer.header("set-cookie").to_owned();
    for part in ["; HttpOnly", "; SameSite=Strict", "; Path=/", "; Max-Age=43200"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains("Secure"), "it would not come back over http to this machine: {cookie}");
    let value = cookie.split(['=', ';']).nth(1).expect("a value");
    assert!(value.len() >= 64 && !cookie.contains(TOKEN), "{cookie}");
    place.sign_in().await;
    assert!(place.get("/").await.has_button("sign-out"));
    place.end().await;
}

#[tokio::test]
async fn a_cookie_for_another_machine_travels_over_tls_only() {
    let place = place().await;
    // Behind a proxy that speaks TLS the Host is the listen address, which is not loopback there. Only
    // loopback names pass here, so this test can only check that each of them is one.
    for host in ["localhost:1", "127.0.0.1", "[::1]:2"] {
        let request = place.form("/session", &[("token", TOKEN)]).header("sec-fetch-site", "same-origin");
        let answer = read(request.header("host", host)).await;
        assert!(!answer.header("set-cookie").contains("Secure"), "{host}");
    }
    place.end().await;
}

#[tokio::test]
async fn a_wrong_token_a_made_up_cookie_and_another_servers_cookie_open_nothing() {
    let mut place = place().await;
    for token in ["", "wrong", &TOKEN[1..], &format!("{TOKEN}x")] {
        let answer = place.post("/session", &[("token", token)]).await;
        assert_eq!(answer.status, 403, "{token}");
        assert!(answer.header("set-cookie").is_empty(), "{token}");
    }
    place.sign_in().await;
    let real = place.cookie.clone().expect("signed in");
    let (name, value) = real.split_once('=').expect("a cookie");
    for made_up in [
        format!("{name}={}", "0".repeat(64)),
        format!("{name}="),
        format!("unlockd_1={value}"),
        format!("x{real}"),
    ] {
        place.cookie = Some(made_up.clone());
        assert!(!place.get("/").await.has_button("sign-out"), "{made_up}");
    }
    place.cookie = Some(format!("other=1; {real}; {name}_more=2"));
    assert!(place.get("/").await.has_button("sign-out"), "among other cookies");
    place.end().await;
}

#[tokio::test]
async fn after_ten_wrong_tokens_nobody_may_try_for_ten_minutes() {
    let place = place().await;
    for _ in 0..10 {
        assert_eq!(place.post("/session", &[("token", "wrong")]).await.status, 403);
    }
    let answer = place.post("/session", &[("token", TOKEN)]).await;
    assert_eq!(answer.status, 429);
    assert!(answer.header("set-cookie").is_empty());
    assert!(answer.shows("too many wrong tokens"), "{}", answer.words());
    place.town.clock.advance(Duration::from_secs(10 * 60 - 1));
    assert_eq!(place.post("/session", &[("token", TOKEN)]).await.status, 429);
    place.town.clock.advance(Duration::from_secs(1));
    assert_eq!(place.post("/session", &[("token", TOKEN)]).await.status, 303);
    place.end().await;
}

#[tokio::test]
async fn a_session_ends_after_twelve_hours_by_signing_out_or_with_its_token() {
    let mut place = place().await;
    place.sign_in().await;
    place.town.clock.advance(Duration::from_secs(12 * 3_600 - 1));
    assert!(place.get("/").await.has_button("sign-out"));
    place.town.clock.advance(Duration::from_secs(1));
    assert!(!place.get("/").await.has_button("sign-out"), "it is over");

    place.sign_in().await;
    let answer = place.post("/session/end", &[]).await;
    assert_eq!(answer.status, 303);
    assert!(answer.header("set-cookie").contains("Max-Age=0"), "{}", answer.header("set-cookie"));
    assert!(!place.get("/").await.has_button("sign-out"), "signed out");

    place.sign_in().await;
    write_token(&place.token_file(), "another-token-0815");
    assert!(!place.get("/").await.has_button("sign-out"), "the token has changed");
    assert_eq!(place.post("/session", &[("token", TOKEN)]).await.status, 403);
    assert_eq!(place.post("/session", &[("token", "another-token-0815")]).await.status, 303);
    place.end().await;
}

#[tokio::test]
async fn a_token_file_that_is_empty_short_or_open_to_all_lets_nobody_in_and_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let place = place().await;
    let file = place.token_file();
    for token in ["", "\n", "short-token-15c"] {
        write_token(&file, token);
        let answer = place.post("/session", &[("token", token)]).await;
        assert_eq!(answer.status, 403, "{token:?}");
        assert!(place.get("/").await.shows("holds less than 16 characters"), "{token:?}");
    }
    write_token(&file, TOKEN);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).expect("set");
    assert_eq!(place.post("/session", &[("token", TOKEN)]).await.status, 403);
    let page = place.get("/").await;
    assert!(page.shows("chmod o-rwx") && !page.text.contains(TOKEN), "{}", page.words());
    std::fs::remove_file(&file).expect("removed");
    assert!(place.get("/").await.shows("cannot read the token file"));
    place.end().await;
}

#[tokio::test]
async fn without_a_token_configured_nobody_can_sign_in_and_the_page_says_which_key_to_set() {
    let place = Place::new().await;
    assert!(place.get("/").await.shows("set http.token_file"));
    for token in ["", "anything-at-all-1234"] {
        let answer = place.post("/session", &[("token", token)]).await;
        assert_eq!(answer.status, 403);
        assert!(answer.header("set-cookie").is_empty());
    }
    place.end().await;
}

#[tokio::test]
async fn a_foreign_page_can_neither_sign_in_nor_out_nor_lock_anybody_out() {
    let mut place = place().await;
    for _ in 0..12 {
        let answer =
            read(place.form("/session", &[("token", "wrong")]).header("sec-fetch-site", "cross-site")).await;
        assert_eq!(answer.status, 403);
    }
    place.sign_in().await;
    let answer = read(place.form("/session/end", &[]).header("sec-fetch-site", "cross-site")).await;
    assert_eq!(answer.status, 403);
    assert!(place.get("/").await.has_button("sign-out"));
    place.end().await;
}

#[tokio::test]
async fn a_body_that_is_no_form_is_refused() {
    let place = place().await;
    let request = || place.request(Method::POST, "/session").header("sec-fetch-site", "same-origin");
    let json = request().header("content-type", "application/json").body("{\"token\":\"x\"}");
    assert_eq!(read(json).await.status, 400);
    let huge = vec![b'x'; 100_000];
    let form = request().header("content-type", "application/x-www-form-urlencoded").body(huge);
    assert_eq!(read(form).await.status, 400);
    place.end().await;
}
