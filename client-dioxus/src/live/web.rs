//! LiveKit's client in the browser.

use js_sys::{Array, Uint8Array};
use kith_client_core::calls::{Farewell, MediaKey, Ticket};
use wasm_bindgen::prelude::*;

use super::{Choice, Device, DeviceKind, Scene, Tile};

/// Are there calls in this program?
pub const HERE: bool = true;

#[wasm_bindgen(module = "/js/call.js")]
extern "C" {
    type JsDevice;
    #[wasm_bindgen(method, getter)]
    fn kind(this: &JsDevice) -> String;
    #[wasm_bindgen(method, getter)]
    fn id(this: &JsDevice) -> String;
    #[wasm_bindgen(method, getter)]
    fn label(this: &JsDevice) -> String;

    type JsPermitted;
    #[wasm_bindgen(method, getter)]
    fn microphone(this: &JsPermitted) -> bool;
    #[wasm_bindgen(method, getter)]
    fn camera(this: &JsPermitted) -> bool;

    type JsScene;
    #[wasm_bindgen(method, getter)]
    fn connected(this: &JsScene) -> bool;
    #[wasm_bindgen(method, getter)]
    fn recorded(this: &JsScene) -> bool;
    #[wasm_bindgen(method, getter)]
    fn tiles(this: &JsScene) -> Array;

    type JsTile;
    #[wasm_bindgen(method, getter)]
    fn identity(this: &JsTile) -> String;
    #[wasm_bindgen(method, getter)]
    fn own(this: &JsTile) -> bool;
    #[wasm_bindgen(method, getter)]
    fn screen(this: &JsTile) -> bool;
    #[wasm_bindgen(method, getter)]
    fn track(this: &JsTile) -> Option<String>;
    #[wasm_bindgen(method, getter, js_name = microphone)]
    fn tile_microphone(this: &JsTile) -> bool;
    #[wasm_bindgen(method, getter)]
    fn speaking(this: &JsTile) -> bool;

    #[wasm_bindgen(catch, js_name = devices)]
    async fn js_devices() -> Result<JsValue, JsValue>;
    #[wasm_bindgen(catch, js_name = permit)]
    async fn js_permit() -> Result<JsValue, JsValue>;
    #[wasm_bindgen(catch, js_name = preview)]
    async fn js_preview(element: &str, camera: &str) -> Result<(), JsValue>;
    #[wasm_bindgen(js_name = atTheEnd)]
    fn js_at_the_end(ask: &JsValue);
    #[wasm_bindgen(js_name = endPreview)]
    fn js_end_preview();
    #[wasm_bindgen(catch)]
    async fn join(
        url: &str,
        jwt: &str,
        identity: &str,
        key: Option<Uint8Array>,
        index: u8,
        microphone: Option<String>,
        camera: Option<String>,
    ) -> Result<JsValue, JsValue>;

    #[derive(Clone, PartialEq)]
    type LiveCall;
    #[wasm_bindgen(method)]
    async fn changed(this: &LiveCall) -> JsValue;
    #[wasm_bindgen(method, catch, js_name = setKey)]
    async fn set_key(
        this: &LiveCall,
        identity: &str,
        index: u8,
        key: Uint8Array,
    ) -> Result<(), JsValue>;
    #[wasm_bindgen(method)]
    fn show(this: &LiveCall, element: &str, track: &str);
    #[wasm_bindgen(method, catch, js_name = microphone)]
    async fn set_microphone(this: &LiveCall, on: bool) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch, js_name = camera)]
    async fn set_camera(this: &LiveCall, on: bool) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch, js_name = screen)]
    async fn set_screen(this: &LiveCall, on: bool) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    async fn leave(this: &LiveCall) -> Result<(), JsValue>;
    #[wasm_bindgen(method, js_name = leave)]
    fn hang_up(this: &LiveCall) -> js_sys::Promise;
}

/// Asks the person for microphone and camera. Which of them there are: (microphone, camera).
pub async fn permit() -> (bool, bool) {
    match js_permit().await {
        Ok(permitted) => {
            let permitted: JsPermitted = permitted.unchecked_into();
            (permitted.microphone(), permitted.camera())
        }
        Err(_) => (false, false),
    }
}

pub async fn devices() -> Vec<Device> {
    let Ok(found) = js_devices().await else { return Vec::new() };
    let mut devices = Vec::new();
    for device in Array::from(&found).iter() {
        let device: JsDevice = device.unchecked_into();
        let kind = match device.kind().as_str() {
            "audioinput" => DeviceKind::Microphone,
            "videoinput" => DeviceKind::Camera,
            _ => continue,
        };
        devices.push(Device { kind, id: device.id(), label: device.label() });
    }
    devices
}

/// Shows a camera in a `<video>` until [`end_preview`]. False: it does not open.
pub async fn preview(element: &str, camera: &str) -> bool {
    js_preview(element, camera).await.is_ok()
}

pub fn end_preview() {
    js_end_preview();
}

/// If the page goes, the browser tells the room so, by what `ask` gives then; `None`: not any more.
pub fn at_the_end(ask: Option<impl Fn() -> Option<Farewell> + 'static>) {
    let asked = |ask: Box<dyn Fn() -> Option<Farewell>>| {
        let closure = Closure::<dyn Fn() -> Option<Array>>::new(move || ask().map(array));
        closure.into_js_value()
    };
    js_at_the_end(&ask.map_or(JsValue::UNDEFINED, |ask| asked(Box::new(ask))));
}

fn array(farewell: Farewell) -> Array {
    let Farewell { method, url, body, access_token } = farewell;
    Array::of4(&method.into(), &url.into(), &body.into(), &access_token.into())
}

/// A call that this device is in.
#[derive(Clone, PartialEq)]
pub struct Live(LiveCall);

impl Live {
    /// Enters by the ticket. The error is for the log.
    pub async fn join(ticket: &Ticket, choice: &Choice) -> Result<Self, String> {
        let key = ticket.key.as_ref();
        let bytes = key.map(|key| Uint8Array::from(key.key.as_slice()));
        let index = key.map_or(0, |key| key.index);
        let Choice { microphone, camera } = choice.clone();
        let call =
            join(&ticket.url, &ticket.jwt, &ticket.identity, bytes, index, microphone, camera);
        call.await.map(|call| Self(call.unchecked_into())).map_err(text)
    }

    /// The next scene; `None` when the call is over for this device.
    pub async fn changed(&self) -> Option<Scene> {
        let scene = self.0.changed().await;
        if scene.is_undefined() {
            return None;
        }
        let scene: JsScene = scene.unchecked_into();
        let tiles = scene.tiles();
        let tiles = tiles.iter().map(|tile| tile_of(&tile.unchecked_into())).collect();
        Some(Scene { connected: scene.connected(), recorded: scene.recorded(), tiles })
    }

    pub async fn set_key(&self, key: &MediaKey) {
        let bytes = Uint8Array::from(key.key.as_slice());
        if let Err(error) = self.0.set_key(&key.identity, key.index, bytes).await {
            tracing::warn!(error = text(error), "a key of the call does not fit");
        }
    }

    /// Shows a picture in a `<video>`.
    pub fn show(&self, element: &str, track: &str) {
        self.0.show(element, track);
    }

    /// False: the device does not open.
    pub async fn microphone(&self, on: bool) -> bool {
        self.0.set_microphone(on).await.is_ok()
    }

    pub async fn camera(&self, on: bool) -> bool {
        self.0.set_camera(on).await.is_ok()
    }

    /// False also if the person has chosen no window.
    pub async fn screen(&self, on: bool) -> bool {
        self.0.set_screen(on).await.is_ok()
    }

    pub async fn leave(&self) {
        if let Err(error) = self.0.leave().await {
            tracing::warn!(error = text(error), "the call did not end well");
        }
    }

    /// As [`Live::leave`], where nobody can wait for it.
    pub fn hang_up(&self) {
        // The browser ends it; nothing here is left that could tell.
        let _ = self.0.hang_up();
    }
}

fn tile_of(tile: &JsTile) -> Tile {
    Tile {
        identity: tile.identity(),
        own: tile.own(),
        screen: tile.screen(),
        track: tile.track(),
        microphone: tile.tile_microphone(),
        speaking: tile.speaking(),
    }
}

fn text(error: JsValue) -> String {
    match error.dyn_ref::<js_sys::Error>() {
        Some(error) => String::from(error.message()),
        None => format!("{error:?}"),
    }
}
