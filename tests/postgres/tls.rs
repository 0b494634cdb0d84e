//! The connection with a server that has a certificate: encrypted, and refused where the certificate is not the right one.

use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::process::{Command, Stdio};

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use unlockd::store::Store;
use unlockd::store::postgres::state;

use crate::server::Server;

/// An authority, and a certificate of it for `localhost`; and an authority that has signed nothing.
const MAKE: &str = "
new='req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2'
openssl $new -x509 -subj /CN=authority -keyout ca.key -out ca.crt
openssl $new -x509 -subj /CN=stranger -keyout stranger.key -out stranger.crt
openssl $new -subj /CN=localhost -keyout server.key -out server.csr
echo subjectAltName=DNS:localhost >names
openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.crt";

fn make(folder: &Path) {
    let mut shell = Command::new("sh");
    shell.args(["-euc", MAKE]).current_dir(folder).stdin(Stdio::null());
    let output = shell.output().expect("a shell");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// From now on the server takes encrypted connections.
async fn encrypt(admin: &mut PgConnection, folder: &Path) {
    let data: String =
        sqlx::query_scalar("show data_directory").fetch_one(&mut *admin).await.expect("its folder");
    let owner = std::fs::metadata(data).expect("its folder");
    for place in [folder.to_owned(), folder.join("server.key"), folder.join("server.crt")] {
        chown(place, Some(owner.uid()), Some(owner.gid())).expect("given to the server");
    }
    for (setting, value) in [
        ("ssl_cert_file", folder.join("server.crt").display().to_string()),
        ("ssl_key_file", folder.join("server.key").display().to_string()),
        ("ssl", "on".to_owned()),
    ] {
        let set = AssertSqlSafe(format!("alter system set {setting} = '{value}'"));
        admin.execute(set).await.expect("a setting");
    }
    admin.execute("select pg_reload_conf()").await.expect("read again");
    let since = std::time::Instant::now();
    let encrypts = "select current_setting('ssl') = 'on'";
    while !sqlx::query_scalar::<_, bool>(encrypts).fetch_one(&mut *admin).await.expect("a setting") {
        assert!(since.elapsed().as_secs() < 20, "the server does not encrypt");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_server_is_believed_only_with_a_certificate_for_its_name_from_the_named_authority() {
    rustls::crypto::ring::default_provider().install_default().ok();
    let has_openssl = Command::new("openssl").arg("version").output().is_ok();
    let Some(server) = Server::own().filter(|_| has_openssl) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    make(folder.path());
    let mut admin = PgConnection::connect(&format!("{}/postgres", server.url())).await.expect("connects");
    let open = async |host: &str, parameters: &str| {
        let url = format!("{}/postgres?{parameters}", server.url().replace("127.0.0.1", host));
        let store = Store::open(Path::new(&url), None).await.map_err(|problem| problem.to_string())?;
        let state = state::read(&store).await.expect("readable").expect("a server");
        Ok::<_, String>(state.is_encrypted)
    };
    let plain = open("localhost", "sslmode=require").await.expect_err("the server does not encrypt yet");
    assert!(plain.contains("TLS"), "{plain}");

    encrypt(&mut admin, folder.path()).await;
    let root = |name: &str| format!("sslrootcert={}", folder.path().join(name).display());
    let (ours, stranger) = (root("ca.crt"), root("stranger.crt"));
    assert_eq!(open("localhost", &format!("sslmode=verify-full&{ours}")).await, Ok(Some(true)));
    assert_eq!(open("127.0.0.1", &format!("sslmode=verify-ca&{ours}")).await, Ok(Some(true)));
    assert_eq!(open("localhost", "sslmode=disable").await, Ok(Some(false)));
    for (host, parameters) in [
        ("127.0.0.1", format!("sslmode=verify-full&{ours}")),
        ("localhost", format!("sslmode=verify-full&{stranger}")),
        ("localhost", format!("sslmode=verify-ca&{stranger}")),
        // The system's authorities.
        ("localhost", "sslmode=verify-full".to_owned()),
    ] {
        let refused = open(host, &parameters).await.expect_err(&parameters);
        assert!(refused.contains("certificate"), "{host} {parameters}: {refused}");
    }
}
