//! How does a user prove, before something weighty is done, that it is them?
//! [Spec](https://spec.matrix.org/latest/client-server-api/#user-interactive-authentication-api)
//!
//! A stage counts only if a flow of this very request offers it: a stage that one endpoint accepts
//! opens nothing at another.

use std::net::IpAddr;

use axum::extract::FromRef;
use ruma::{
    UserId,
    api::client::uiaa::{AuthData, AuthFlow, AuthType, UserIdentifier},
};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::ApiError;
use crate::{
    app::App,
    config::{OpenRegistration, Registration},
    rate_limit::{Action, RateLimiter},
    users::{AccountError, Interactive, Operation, Requester, UnknownInteraction, Users},
};

/// What it takes to check the stages.
pub struct Uiaa {
    interactive: Interactive,
    users: Users,
    rate_limits: RateLimiter,
}

impl FromRef<App> for Uiaa {
    fn from_ref(app: &App) -> Self {
        Self {
            interactive: app.interactive.clone(),
            users: app.users.clone(),
            rate_limits: app.rate_limits.clone(),
        }
    }
}

/// One request that must be confirmed.
struct Ceremony<'a> {
    operation: Operation,
    flows: Vec<AuthFlow>,
    params: Value,
    /// Whose password it takes.
    user: Option<&'a UserId>,
}

impl Uiaa {
    /// Goes on only if the requester has just shown their password for this operation: this
    /// endpoint, and these details of what it is to do.
    pub async fn confirm(
        &self,
        requester: &Requester,
        endpoint: &str,
        details: &impl Serialize,
        auth: Option<AuthData>,
    ) -> Result<(), ApiError> {
        let account = self.users.get(&requester.user_id).await?;
        if account.is_none_or(|account| account.password_hash.is_none()) {
            return Err(ApiError::forbidden("This account has no password to confirm it with"));
        }
        let user = Some(&*requester.user_id);
        let ceremony = Ceremony {
            operation: self.interactive.operation(endpoint, user, details),
            flows: vec![AuthFlow::new(vec![AuthType::Password])],
            params: json!({}),
            user,
        };
        self.run(&ceremony, auth).await?;
        Ok(())
    }

    /// Goes on only if this server takes new accounts from there, and what it asks of them was done.
    /// Answers the registration token that was used.
    pub async fn admit(
        &self,
        registration: &Registration,
        address: IpAddr,
        auth: Option<AuthData>,
    ) -> Result<Option<String>, ApiError> {
        let flows = registration_flows(registration, address)?;
        // Clients ask with an empty body what there is to do, so that the name is no detail.
        let operation = self.interactive.operation("register", None, &());
        let params = registration_params(registration);
        self.run(&Ceremony { operation, flows, params, user: None }, auth).await
    }

    /// Refuses a session that is not one of a registration, and a stage of no use in it.
    pub fn check_registering(
        &self,
        registration: &Registration,
        address: IpAddr,
        session: &str,
        stage: &AuthType,
    ) -> Result<(), ApiError> {
        let flows = registration_flows(registration, address)?;
        if !flows.iter().any(|flow| flow.stages.contains(stage)) {
            return Err(ApiError::not_found("There is no page for this stage"));
        }
        let operation = self.interactive.operation("register", None, &());
        self.interactive.completed(session, operation).map_err(unknown_session)?;
        Ok(())
    }

    /// Notes a stage that somebody passes in a browser. `false` if their token is not valid.
    pub async fn pass_registering(
        &self,
        session: &str,
        stage: &AuthType,
        token: Option<String>,
    ) -> Result<bool, ApiError> {
        let token = match stage {
            AuthType::RegistrationToken => Some(token.unwrap_or_default()),
            _ => None,
        };
        if let Some(token) = &token
            && !self.users.is_valid_token(token).await?
        {
            return Ok(false);
        }
        let operation = self.interactive.operation("register", None, &());
        let passed = self.interactive.pass(session, operation, stage.clone(), token);
        passed.map_err(unknown_session)?;
        Ok(true)
    }

    async fn run(
        &self,
        ceremony: &Ceremony<'_>,
        auth: Option<AuthData>,
    ) -> Result<Option<String>, ApiError> {
        let operation = ceremony.operation;
        let session = match auth.as_ref().and_then(AuthData::session) {
            Some(session) => session.to_owned(),
            None => self.interactive.begin(operation),
        };
        let completed = match self.interactive.completed(&session, operation) {
            Ok(completed) => completed,
            Err(unknown) => {
                let session = self.interactive.begin(operation);
                return Err(ceremony.to_do(&session, &[], Some(unknown_session(unknown))));
            }
        };
        let Some(auth) = auth else {
            return Err(ceremony.to_do(&session, &completed, None));
        };
        let completed = match self.stage(ceremony, &auth).await {
            Ok(None) => completed,
            Ok(Some(stage)) => {
                let token = match auth {
                    AuthData::RegistrationToken(data) => Some(data.token),
                    _ => None,
                };
                let passed = self.interactive.pass(&session, operation, stage, token);
                passed.map_err(unknown_session)?
            }
            Err(StageError::Failed(failed)) => {
                return Err(ceremony.to_do(&session, &completed, Some(failed)));
            }
            Err(StageError::Other(error)) => return Err(error),
        };
        if ceremony.is_done(&completed) {
            return Ok(self.interactive.finish(&session));
        }
        Err(ceremony.to_do(&session, &completed, None))
    }

    /// The stage that was passed; `None` if the client only asks how things stand.
    async fn stage(
        &self,
        ceremony: &Ceremony<'_>,
        auth: &AuthData,
    ) -> Result<Option<AuthType>, StageError> {
        let Some(stage) = auth.auth_type() else { return Ok(None) };
        if !ceremony.flows.iter().any(|flow| flow.stages.contains(&stage)) {
            let message = format!("The stage {stage} is of no use here");
            return Err(StageError::Failed(ApiError::unknown_type(message)));
        }
        match (auth, ceremony.user) {
            (AuthData::Dummy(_) | AuthData::Terms(_), _) => Ok(Some(stage)),
            (AuthData::Password(data), Some(user)) => {
                self.check_password(user, &data.identifier, &data.password).await?;
                Ok(Some(stage))
            }
            (AuthData::RegistrationToken(data), _) => {
                if self.users.is_valid_token(&data.token).await.map_err(ApiError::from)? {
                    return Ok(Some(stage));
                }
                let wrong = crate::users::RegistrationError::Token;
                Err(StageError::Failed(wrong.into()))
            }
            _ => Err(StageError::Failed(ApiError::forbidden("This stage cannot be passed"))),
        }
    }

    async fn check_password(
        &self,
        user: &UserId,
        identifier: &UserIdentifier,
        password: &str,
    ) -> Result<(), StageError> {
        let named = match identifier {
            UserIdentifier::Matrix(id) => {
                self.users.find(&id.user).await.map_err(ApiError::from)?
            }
            _ => None,
        };
        if named.as_deref() != Some(user) {
            return Err(StageError::Failed(AccountError::WrongPassword.into()));
        }
        let user = user.to_owned();
        self.rate_limits.peek(Action::FailedLogin, &user).map_err(ApiError::from)?;
        match self.users.check_password(Some(&user), password.to_owned()).await {
            Ok(()) => Ok(()),
            Err(AccountError::Store(error)) => Err(StageError::Other(error.into())),
            Err(wrong) => {
                self.rate_limits.check(Action::FailedLogin, &user).map_err(ApiError::from)?;
                Err(StageError::Failed(wrong.into()))
            }
        }
    }
}

fn unknown_session(unknown: UnknownInteraction) -> ApiError {
    ApiError::unknown_type(unknown.to_string())
}

enum StageError {
    /// The stage was not passed; the client can try again.
    Failed(ApiError),
    Other(ApiError),
}

impl From<ApiError> for StageError {
    fn from(error: ApiError) -> Self {
        Self::Other(error)
    }
}

impl Ceremony<'_> {
    fn is_done(&self, completed: &[AuthType]) -> bool {
        self.flows.iter().any(|flow| flow.stages.iter().all(|stage| completed.contains(stage)))
    }

    /// The answer that tells the client what is still to do.
    fn to_do(&self, session: &str, completed: &[AuthType], failed: Option<ApiError>) -> ApiError {
        let mut body = Map::new();
        body.insert("flows".to_owned(), json!(self.flows));
        body.insert("params".to_owned(), self.params.clone());
        body.insert("session".to_owned(), session.into());
        if !completed.is_empty() {
            body.insert("completed".to_owned(), json!(completed));
        }
        ApiError::uiaa(body, failed)
    }
}

/// The ways to an account for somebody at this address; refuses those to whom registration is closed.
pub(super) fn registration_flows(
    registration: &Registration,
    address: IpAddr,
) -> Result<Vec<AuthFlow>, ApiError> {
    let is_open = match registration.open {
        OpenRegistration::Never => false,
        OpenRegistration::Loopback => address.to_canonical().is_loopback(),
        OpenRegistration::Anyone => true,
    };
    let terms = registration.terms.is_some().then_some(AuthType::Terms);
    let flow = |stage| AuthFlow::new(terms.clone().into_iter().chain([stage]).collect());
    let mut flows = Vec::new();
    if is_open {
        flows.push(flow(AuthType::Dummy));
    }
    if !registration.tokens.is_empty() {
        flows.push(flow(AuthType::RegistrationToken));
    }
    if flows.is_empty() {
        return Err(ApiError::forbidden("Registration is disabled"));
    }
    Ok(flows)
}

fn registration_params(registration: &Registration) -> Value {
    let Some(terms) = &registration.terms else { return json!({}) };
    json!({
        AuthType::Terms.as_str(): {
            "policies": {
                "terms_of_service": {
                    "version": terms.version,
                    "en": { "name": terms.name, "url": terms.url },
                },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{RegistrationToken, Secret};

    fn stages(registration: &Registration, address: [u8; 4]) -> Vec<Vec<String>> {
        let flows = registration_flows(registration, IpAddr::from(address)).unwrap_or_default();
        flows.iter().map(|flow| flow.stages.iter().map(ToString::to_string).collect()).collect()
    }

    #[test]
    fn registration_is_open_to_whom_the_configuration_says() {
        let mut registration = Registration::default();
        assert_eq!(stages(&registration, [127, 0, 0, 1]), [["m.login.dummy"]]);
        assert!(stages(&registration, [192, 0, 2, 1]).is_empty());
        let mapped = "::ffff:127.0.0.1".parse().expect("an address");
        assert_eq!(registration_flows(&registration, mapped).map_or(0, |flows| flows.len()), 1);
        registration.open = OpenRegistration::Never;
        assert!(stages(&registration, [127, 0, 0, 1]).is_empty());
        registration.tokens.push(RegistrationToken {
            token: Secret::new("welcome"),
            uses_allowed: None,
            expires: None,
        });
        assert_eq!(stages(&registration, [192, 0, 2, 1]), [["m.login.registration_token"]]);
    }

    #[test]
    fn every_way_leads_through_the_terms() {
        let registration = Registration {
            terms: Some(crate::config::Terms {
                name: "House rules".to_owned(),
                url: "https://kith.example/rules".parse().expect("a URL"),
                version: "1".to_owned(),
            }),
            ..Registration::default()
        };
        let flows = stages(&registration, [127, 0, 0, 1]);
        assert_eq!(flows, [["m.login.terms", "m.login.dummy"]]);
        let params = registration_params(&registration);
        let policy = &params["m.login.terms"]["policies"]["terms_of_service"];
        assert_eq!(policy["en"]["url"], "https://kith.example/rules");
    }
}
