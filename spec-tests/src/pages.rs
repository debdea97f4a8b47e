//! Web pages for previews of URLs: what a test says, and who asked for it.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{HeaderMap, Uri, header},
    response::Response,
};
use parking_lot::Mutex;
use tokio::{net::TcpListener, task::JoinHandle};

/// A web server on a free port of this machine. Stops when it is dropped.
pub struct PageServer {
    address: SocketAddr,
    inner: Arc<Inner>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Inner {
    pages: Mutex<HashMap<String, Page>>,
    // Bounded by what one test causes.
    asked: Mutex<Vec<(String, HeaderMap)>>,
}

#[derive(Clone)]
enum Page {
    Answer {
        status: u16,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    },
    Hang,
    /// Goes on for ever.
    Endless,
}

impl PageServer {
    pub async fn start() -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST.into()).await
    }

    /// At another address of this machine.
    pub async fn start_at(address: IpAddr) -> Self {
        let listener = TcpListener::bind((address, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let inner = Arc::<Inner>::default();
        let router = Router::new().fallback(answer).with_state(Arc::clone(&inner));
        let task = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("serving ends only with the task");
        });
        Self { address, inner, task }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:12345/path`
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// From now on this path, its query included, has this answer.
    pub fn put(&self, path: &str, status: u16, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let page = Page::Answer { status, headers: headers.collect(), body: body.into() };
        self.inner.pages.lock().insert(path.to_owned(), page);
    }

    pub fn html(&self, path: &str, page: &str) {
        self.put(path, 200, &[("content-type", "text/html; charset=utf-8")], page);
    }

    pub fn image(&self, path: &str, content_type: &str, image: Vec<u8>) {
        self.put(path, 200, &[("content-type", content_type)], image);
    }

    pub fn redirect(&self, path: &str, to: &str) {
        self.put(path, 302, &[("location", to)], "");
    }

    /// Never answers.
    pub fn hang(&self, path: &str) {
        self.inner.pages.lock().insert(path.to_owned(), Page::Hang);
    }

    /// A page of HTML without an end.
    pub fn endless(&self, path: &str) {
        self.inner.pages.lock().insert(path.to_owned(), Page::Endless);
    }

    /// How often this path was asked for.
    pub fn asked(&self, path: &str) -> usize {
        self.inner.asked.lock().iter().filter(|(asked, _)| asked == path).count()
    }

    /// How often anything was.
    pub fn asked_at_all(&self) -> usize {
        self.inner.asked.lock().len()
    }

    /// The headers of the last request.
    pub fn last_headers(&self) -> HeaderMap {
        let asked = self.inner.asked.lock();
        asked.last().map(|(_, headers)| headers.clone()).unwrap_or_default()
    }
}

impl Drop for PageServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State(pages): State<Arc<Inner>>, uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let page = pages.pages.lock().get(&path).cloned();
    pages.asked.lock().push((path, headers));
    let mut response = Response::builder();
    let body = match page {
        None => {
            response = response.status(404);
            Body::empty()
        }
        Some(Page::Answer { status, headers, body }) => {
            response = response.status(status);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            Body::from(body)
        }
        Some(Page::Hang) => std::future::pending().await,
        Some(Page::Endless) => {
            response = response.header(header::CONTENT_TYPE, "text/html");
            let piece = "<p>and so on</p>".repeat(4096);
            let piece = axum::body::Bytes::from(piece);
            let pieces = futures_util::stream::repeat_with(move || {
                Ok::<_, std::convert::Infallible>(piece.clone())
            });
            Body::from_stream(pieces)
        }
    };
    response.body(body).expect("a test's headers can be sent")
}
