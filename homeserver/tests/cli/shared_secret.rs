//! Accounts made by a script that knows `registration.shared_secret`.

use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha1::Sha1;

use crate::{
    kith::{Place, Running},
    user::request,
};

const PATH: &str = "/_synapse/admin/v1/register";

fn serve(place: &Place) -> Running {
    let mut command = place.command(&["serve", "--listen", "127.0.0.1:0"]);
    command.env("KITH_REGISTRATION__SHARED_SECRET", "open sesame");
    command.env("KITH_REGISTRATION__OPEN", "never");
    command.env("KITH_PASSWORD_HASH", "{ memory = 8, iterations = 1, parallelism = 1 }");
    Running::start(command)
}

fn nonce(kith: &Running) -> String {
    let (status, answer) = request(kith.address(), "GET", PATH, "", &json!({}));
    assert_eq!(status, 200, "{answer}");
    answer["nonce"].as_str().expect("a nonce").to_owned()
}

fn register(kith: &Running, nonce: &str, name: &str, secret: &str) -> (u16, Value) {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).expect("any length");
    mac.update(format!("{nonce}\0{name}\0password\0admin").as_bytes());
    let mac: String = mac.finalize().into_bytes().iter().map(|b| format!("{b:02x}")).collect();
    let body = json!({
        "nonce": nonce, "username": name, "password": "password", "admin": true, "mac": mac,
    });
    request(kith.address(), "POST", PATH, "", &body)
}

#[test]
fn the_shared_secret_makes_accounts_where_registration_is_closed() {
    let place = Place::new();
    let kith = serve(&place);
    let (status, answer) = register(&kith, &nonce(&kith), "ann", "open sesame");
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["user_id"], "@ann:localhost");
    let token = answer["access_token"].as_str().expect("a token");
    let whoami = "/_matrix/client/v3/account/whoami";
    let (status, who) = request(kith.address(), "GET", whoami, token, &json!({}));
    assert_eq!((status, &who["device_id"]), (200, &answer["device_id"]));
    kith.stop();
    assert_eq!(place.run(&["user", "list"]).stdout, "@ann:localhost\tadmin\n");
}

#[test]
fn without_the_secret_or_a_fresh_nonce_no_account_is_made() {
    let place = Place::new();
    let kith = serve(&place);
    assert_eq!(register(&kith, &nonce(&kith), "ann", "close sesame").0, 403);
    assert_eq!(register(&kith, "made up", "ann", "open sesame").0, 400);
    let used = nonce(&kith);
    assert_eq!(register(&kith, &used, "bob", "open sesame").0, 200);
    assert_eq!(register(&kith, &used, "ann", "open sesame").0, 400);
    let (status, answer) = request(kith.address(), "POST", PATH, "", &json!({ "nonce": 5 }));
    assert_eq!((status, &answer["errcode"]), (400, &json!("M_BAD_JSON")));
    kith.stop();
    assert_eq!(place.run(&["user", "list"]).stdout, "@bob:localhost\tadmin\n");
}

#[test]
fn where_no_secret_is_set_there_is_no_such_endpoint() {
    let place = Place::new();
    let kith = place.serve();
    for method in ["GET", "POST"] {
        let body = json!({ "nonce": "", "username": "a", "password": "b", "mac": "" });
        let (status, answer) = request(kith.address(), method, PATH, "", &body);
        assert_eq!((status, &answer["errcode"]), (404, &json!("M_UNRECOGNIZED")));
    }
}
