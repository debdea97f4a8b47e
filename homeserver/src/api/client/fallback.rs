//! Pages for clients that do not know a stage or a login flow: they open one in a browser.
//!
//! [Spec](https://spec.matrix.org/latest/client-server-api/#fallback)

use std::sync::LazyLock;

use axum::{
    Form, Router,
    extract::rejection::FormRejection,
    response::{Html, IntoResponse, Response},
    routing::get,
};
use http::{HeaderValue, header};
use ruma::{
    api::client::uiaa::AuthType,
    serde::{Base64, base64::Standard},
};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::{
    api::{
        ApiError,
        incoming::{ClientAddress, Path, Query, State},
        uiaa::Uiaa,
    },
    config::Registration,
    rate_limit::{Action, RateLimiter},
    team::Team,
};

pub(super) fn add_pages(router: Router) -> Router {
    router
        .route("/_matrix/client/v3/auth/{0}/fallback/web", get(ask).post(pass))
        .route("/_matrix/client/r0/auth/{0}/fallback/web", get(ask).post(pass))
        .route("/_matrix/static/client/login/", get(login))
}

#[derive(Deserialize)]
struct Session {
    session: String,
}

#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
}

/// `GET /_matrix/client/v3/auth/{authType}/fallback/web`
async fn ask(
    State(team): State<Team>,
    State(uiaa): State<Uiaa>,
    ClientAddress(address): ClientAddress,
    Path(stage): Path<String>,
    Query(Session { session }): Query<Session>,
) -> Result<Response, ApiError> {
    let registration = &team.config().registration;
    let stage = AuthType::from(stage);
    uiaa.check_registering(registration, address, &session, &stage)?;
    form(registration, &stage, None)
}

/// The form of that page, sent back.
async fn pass(
    State(team): State<Team>,
    State(limits): State<RateLimiter>,
    State(uiaa): State<Uiaa>,
    ClientAddress(address): ClientAddress,
    Path(stage): Path<String>,
    Query(Session { session }): Query<Session>,
    answer: Result<Form<Answer>, FormRejection>,
) -> Result<Response, ApiError> {
    limits.check(Action::Registration, address)?;
    let Form(answer) = answer.map_err(|error| ApiError::invalid_param(error.to_string()))?;
    let registration = &team.config().registration;
    let stage = AuthType::from(stage);
    uiaa.check_registering(registration, address, &session, &stage)?;
    if uiaa.pass_registering(&session, &stage, answer.token).await? {
        return Ok(page(&DONE));
    }
    form(registration, &stage, Some("This token is not valid."))
}

fn form(
    registration: &Registration,
    stage: &AuthType,
    problem: Option<&str>,
) -> Result<Response, ApiError> {
    let question = match (stage, &registration.terms) {
        (AuthType::Terms, Some(terms)) => format!(
            r#"<p>To have an account here, accept: <a href="{}" target="_blank" rel="noopener">{}</a></p>
<button>I accept</button>"#,
            html_escape::encode_double_quoted_attribute(terms.url.as_str()),
            html_escape::encode_text(&terms.name),
        ),
        (AuthType::RegistrationToken, _) => format!(
            r#"<label>Registration token <input name="token" required maxlength="64" autofocus></label>
<p role="alert">{}</p><button>Go on</button>"#,
            problem.unwrap_or_default(),
        ),
        (AuthType::Dummy, _) => "<button>Go on</button>".to_owned(),
        _ => return Err(ApiError::not_found("There is no page for this stage")),
    };
    let html = FORM.html.replace("<!-- question -->", &question);
    Ok(page(&Page { html, policy: FORM.policy.clone() }))
}

/// `GET /_matrix/static/client/login/`
async fn login() -> Response {
    page(&LOGIN)
}

/// A page, and the policy that lets nothing run but its own script.
struct Page {
    html: String,
    policy: HeaderValue,
}

static FORM: LazyLock<Page> = LazyLock::new(|| Page::new(include_str!("fallback/form.html")));
static DONE: LazyLock<Page> = LazyLock::new(|| Page::new(include_str!("fallback/done.html")));
static LOGIN: LazyLock<Page> = LazyLock::new(|| Page::new(include_str!("fallback/login.html")));

impl Page {
    fn new(html: &str) -> Self {
        let script = html.split_once("<script>").and_then(|(_, rest)| rest.split_once("</script>"));
        let script = script.map_or_else(
            || "'none'".to_owned(),
            |(script, _)| {
                let hash = Base64::<Standard, _>::new(Sha256::digest(script).to_vec());
                // The policy wants the padding that Matrix leaves away.
                format!("'sha256-{hash}='")
            },
        );
        let policy = format!(
            "default-src 'none'; script-src {script}; style-src 'unsafe-inline'; \
             connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        );
        let policy = HeaderValue::from_str(&policy).expect("a hash in Base64 is ASCII");
        Self { html: html.to_owned(), policy }
    }
}

fn page(page: &Page) -> Response {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, page.policy.clone()),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (headers, Html(page.html.clone())).into_response()
}
