//! How are files reached: through a server that runs, or in its folder while none does?

use std::{io, path::Path, time::Duration};

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{Method, Request, header};
use kith_federation::client::{Client, Options};
use kith_homeserver::{
    config::Config,
    media::{
        jobs::{Job, Progress},
        report,
    },
    server::RunningServer,
};
use kith_media_store::{MediaStore, Mxc};
use ruma::OwnedServerName;
use serde_json::{Value, json};
use url::Url;

use super::ASK_EVERY;
use crate::cli::{db, serve};

/// Bytes of an answer.
const LARGEST: usize = 16 << 20;
/// Who quarantines on the command line.
const OPERATOR: &str = "the operator";

pub(super) enum Files {
    Running {
        client: Client,
        url: Url,
        token: String,
    },
    /// Teams are open, but nobody connects.
    Stopped {
        server: Box<RunningServer>,
        files: MediaStore,
    },
}

impl Files {
    pub(super) fn running(url: Url, token_file: &Path) -> anyhow::Result<Self> {
        let token = if token_file.as_os_str() == "-" {
            io::read_to_string(io::stdin())
        } else {
            std::fs::read_to_string(token_file)
        };
        let token = token.with_context(|| format!("cannot read {}", token_file.display()))?;
        let client = Client::new(Options::default())?;
        Ok(Self::Running { client, url, token: token.trim().to_owned() })
    }

    pub(super) async fn stopped(
        mut config: Config,
        team: Option<&OwnedServerName>,
    ) -> anyhow::Result<Self> {
        config.listeners.clear();
        config.metrics.listen = None;
        db::must_exist(&config)?;
        let team = team.unwrap_or(&config.server_name).clone();
        if !config.teams().iter().any(|known| known.server_name == team) {
            bail!("there is no team {team}; `kith team list` lists them");
        }
        let server = serve::start(config).await?;
        let app = server.server.app(team.as_str()).context("the team is not open")?;
        let files = app.media.store().clone();
        Ok(Self::Stopped { server: Box::new(server), files })
    }

    pub(super) async fn close(self) {
        if let Self::Stopped { server, files } = self {
            drop(files);
            server.stop().await;
        }
    }

    pub(super) async fn usage(&self) -> anyhow::Result<Value> {
        match self {
            Self::Running { .. } => self.ask(Method::GET, "_kith/admin/v1/media/usage", None).await,
            Self::Stopped { files, .. } => Ok(report::usage(files).await?),
        }
    }

    pub(super) async fn list(&self, from: Option<&Mxc>, limit: usize) -> anyhow::Result<Value> {
        match self {
            Self::Running { .. } => {
                let from = from.map(|from| format!("&from={from}")).unwrap_or_default();
                let path = format!("_kith/admin/v1/media?limit={limit}{from}");
                self.ask(Method::GET, &path, None).await
            }
            Self::Stopped { files, .. } => Ok(report::files(files, from, limit).await?),
        }
    }

    pub(super) async fn quarantine(&self, file: &Mxc, end: bool) -> anyhow::Result<()> {
        let done = match self {
            Self::Running { .. } => {
                let what = if end { "unquarantine" } else { "quarantine" };
                let path = format!("_synapse/admin/v1/media/{what}/{}/{}", file.server, file.id());
                self.ask(Method::POST, &path, Some(json!({}))).await?;
                true
            }
            Self::Stopped { files, .. } if end => files.release(file).await?,
            Self::Stopped { files, .. } => files.quarantine(file, OPERATOR).await?,
        };
        there(file, done)
    }

    pub(super) async fn delete(&self, file: &Mxc, for_good: bool) -> anyhow::Result<()> {
        let done = match self {
            Self::Running { .. } => {
                let path =
                    if for_good { "_kith/admin/v1/media/file" } else { "_synapse/admin/v1/media" };
                let path = format!("{path}/{}/{}", file.server, file.id());
                self.ask(Method::DELETE, &path, None).await?;
                true
            }
            Self::Stopped { files, .. } => files.delete(file, for_good).await?,
        };
        there(file, done)
    }

    pub(super) async fn restore(&self, file: &Mxc) -> anyhow::Result<()> {
        let done = match self {
            Self::Running { .. } => {
                let path = format!("_kith/admin/v1/media/restore/{}/{}", file.server, file.id());
                self.ask(Method::POST, &path, Some(json!({}))).await?;
                true
            }
            Self::Stopped { files, .. } => files.restore(file).await?,
        };
        there(file, done)
    }

    /// Has a job done, to its end.
    pub(super) async fn job(
        &self,
        job: Job,
        mut tell: impl FnMut(Progress) + Send,
    ) -> anyhow::Result<Value> {
        const PATH: &str = "_kith/admin/v1/media/job";
        if let Self::Stopped { files, .. } = self {
            return Ok(job.run(files, tell).await?);
        }
        self.ask(Method::POST, PATH, Some(serde_json::to_value(&job)?)).await?;
        loop {
            let status = self.ask(Method::GET, PATH, None).await?;
            if let Ok(progress) = serde_json::from_value(status["progress"].clone()) {
                tell(progress);
            }
            if let Some(error) = status["error"].as_str() {
                bail!("{error}");
            }
            if let Some(result) = status.get("result") {
                return Ok(result.clone());
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
        let Self::Running { client, url, token } = self else { bail!("the server does not run") };
        let request = Request::builder()
            .method(method)
            .uri(url.join(path)?.as_str())
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string())))?;
        let answer = tokio::time::timeout(Duration::from_secs(60), client.send(request, LARGEST));
        let answer = answer.await.context("the server does not answer")??;
        let body: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
        if !answer.status().is_success() {
            let error = body["error"].as_str().unwrap_or("the server refused");
            bail!("{error} ({})", answer.status());
        }
        Ok(body)
    }
}

fn there(file: &Mxc, there: bool) -> anyhow::Result<()> {
    if !there {
        bail!("there is no such file: {file}");
    }
    Ok(())
}
