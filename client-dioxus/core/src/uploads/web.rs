//! Uploads by `XMLHttpRequest`, the one way in a browser to know how far they are.

use std::cell::RefCell;

use bytes::Bytes;
use js_sys::Uint8Array;
use matrix_sdk::ruma::OwnedMxcUri;
use serde::Deserialize;
use tokio::sync::oneshot;
use wasm_bindgen::{JsCast, JsValue, closure::Closure};
use web_sys::{ProgressEvent, XmlHttpRequest};

use crate::{Account, Error};

/// `POST /_matrix/media/v3/upload`
#[derive(Deserialize)]
struct Uploaded {
    content_uri: OwnedMxcUri,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    errcode: String,
    error: String,
}

/// Aborts the request if it is dropped before it has ended.
struct Running(XmlHttpRequest);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.set_onloadend(None);
        let _ = self.0.abort();
    }
}

pub(super) async fn put(
    account: &Account,
    bytes: Bytes,
    mime: &str,
    told: impl Fn(u64) + 'static,
) -> Result<OwnedMxcUri, Error> {
    let url =
        account.client().homeserver().join("_matrix/media/v3/upload").map_err(Error::other)?;
    let token = account.client().access_token().unwrap_or_default();
    let request = XmlHttpRequest::new().map_err(failed)?;
    request.open_with_async("POST", url.as_str(), true).map_err(failed)?;
    request.set_request_header("Authorization", &format!("Bearer {token}")).map_err(failed)?;
    request.set_request_header("Content-Type", mime).map_err(failed)?;

    let on_progress = Closure::<dyn FnMut(ProgressEvent)>::new(move |event: ProgressEvent| {
        told(event.loaded() as u64)
    });
    let upload = request.upload().map_err(failed)?;
    upload.set_onprogress(Some(on_progress.as_ref().unchecked_ref()));
    let (ended, end) = oneshot::channel();
    let ended = RefCell::new(Some(ended));
    let on_end = Closure::<dyn FnMut()>::new(move || {
        if let Some(ended) = ended.borrow_mut().take() {
            let _ = ended.send(());
        }
    });
    request.set_onloadend(Some(on_end.as_ref().unchecked_ref()));

    let running = Running(request);
    let body = Uint8Array::from(bytes.as_ref());
    running.0.send_with_opt_js_u8_array(Some(&body)).map_err(failed)?;
    let _ = end.await;
    let status = running.0.status().unwrap_or(0);
    let text = running.0.response_text().ok().flatten().unwrap_or_default();
    match status {
        200 => Ok(serde_json::from_str::<Uploaded>(&text)?.content_uri),
        0 => Err(Error::Unreachable("the upload broke off".to_owned())),
        status => {
            let refusal: Refusal = serde_json::from_str(&text).unwrap_or_default();
            let Refusal { errcode, error: message } = refusal;
            Err(Error::Refused { status, errcode, message, retry_after: None })
        }
    }
}

fn failed(error: JsValue) -> Error {
    Error::Other(format!("{error:?}"))
}
