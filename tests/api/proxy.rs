//! `api.proxy`: asked for a tunnel, and shown neither the key nor a call.

use super::*;

/// A proxy that answers each CONNECT with these words, then reads what comes; and all that each connection sent.
async fn proxy(answer: &'static str) -> (String, mpsc::UnboundedReceiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let (sender, seen) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (mut bytes, mut part) = (Vec::new(), [0; 4_096]);
            while !bytes.windows(4).any(|end| end == b"\r\n\r\n") {
                let count = stream.read(&mut part).await.expect("a request");
                bytes.extend_from_slice(&part[..count]);
            }
            stream.write_all(answer.as_bytes()).await.expect("answered");
            // The first bytes in the tunnel; then it ends.
            if answer.contains("200") {
                let count = stream.read(&mut part).await.expect("a handshake");
                bytes.extend_from_slice(&part[..count]);
            }
            drop(stream);
            sender.send(bytes).expect("the test waits");
        }
    });
    (address, seen)
}

#[tokio::test]
async fn a_proxy_is_asked_for_a_tunnel_only_and_a_post_that_fails_there_was_not_sent() {
    for answer in [
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    ] {
        let (address, mut seen) = proxy(answer).await;
        // No name is looked up here: the proxy does that.
        let base = "https://api.lensmor.invalid";
        let client = client_by(base, Duration::from_secs(10), Some(address));
        assert_eq!(error(submit(&client).await).failure, Failure::NotSent, "{answer}");
        let bytes = seen.recv().await.expect("a connection");
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.starts_with("CONNECT api.lensmor.invalid:443 HTTP/1.1\r\n"), "{text}");
        assert!(!text.contains(KEY) && !text.to_ascii_lowercase().contains("authorization"), "{text}");
        assert!(!text.contains("/external/"), "{text}");
        assert!(seen.try_recv().is_err(), "a POST is never sent again");
    }
}

#[tokio::test]
async fn plain_http_to_this_machine_uses_no_proxy() {
    let (address, mut seen) = proxy("HTTP/1.1 502 Bad Gateway\r\n\r\n").await;
    let peer = Peer::answering(200, "", r#"{"total":1,"subscription":1,"addon":0,"gift":0}"#).await;
    let client = client_by(&peer.base, Duration::from_secs(10), Some(address));
    let balance = client.balance(Desk::new().caller(), NOW).await;
    assert_eq!(balance.status, Some(200));
    assert!(seen.try_recv().is_err(), "the key would have been shown to it");
}
