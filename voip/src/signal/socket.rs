//! One client's WebSocket: frames become commands, and what the worker says becomes frames.

use std::time::{Duration, Instant};

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use prost::Message as _;
use tokio::{
    sync::mpsc,
    time::{timeout, timeout_at},
};

use super::{JoinQuery, budget::Budget};
use crate::{
    Grants,
    protocol::{SignalRequest, SignalResponse, signal_request},
    relay::Relay,
    worker::{Command, Join, Refusal, SessionId},
};

/// Clients ping every five seconds.
pub(crate) const PING_INTERVAL: Duration = Duration::from_secs(5);

/// Without any message for so long, the client or the way to it is gone.
pub(crate) const PING_TIMEOUT: Duration = Duration::from_secs(15);

/// What a client may be behind before its connection is given up. It may resume.
const OUTBOX: usize = 512;

/// Runs until either side ends the session.
pub(super) async fn serve(relay: Relay, grants: Grants, query: JoinQuery, mut socket: WebSocket) {
    let (outbox, mut messages) = mpsc::channel(OUTBOX);
    let joined = relay
        .ask(|reply| Command::Join { join: Box::new(Join { grants, query, outbox }), reply })
        .await;
    let session = match joined {
        Some(Ok(session)) => session,
        Some(Err(refusal)) => return close(socket, Some(&refusal)).await,
        None => return close(socket, None).await,
    };
    run(&relay, session, &mut messages, &mut socket).await;
    // The worker closes the outbox when it ends the session itself; then this says nothing new.
    relay.command(Command::Closed { session }).await;
    close(socket, None).await;
}

async fn run(
    relay: &Relay,
    session: SessionId,
    messages: &mut mpsc::Receiver<SignalResponse>,
    socket: &mut WebSocket,
) {
    let limits = &relay.config().limits;
    let mut budget = Budget::new(limits.signal_messages_per_second.into(), Instant::now());
    let mut silent_at = Instant::now() + PING_TIMEOUT * 2;
    loop {
        tokio::select! {
            message = messages.recv() => {
                let Some(message) = message else { return };
                let frame = Message::Binary(message.encode_to_vec().into());
                // A client that does not read is as good as gone.
                if !matches!(timeout(PING_TIMEOUT, socket.send(frame)).await, Ok(Ok(()))) {
                    return;
                }
            }
            received = timeout_at(silent_at.into(), socket.recv()) => {
                let Ok(Some(Ok(frame))) = received else { return };
                silent_at = Instant::now() + PING_TIMEOUT * 2;
                if !budget.take(1, Instant::now()) {
                    tracing::debug!("too many signalling messages");
                    return;
                }
                let bytes = match frame {
                    Message::Binary(bytes) => bytes,
                    Message::Close(_) => return,
                    Message::Text(_) => {
                        tracing::debug!("signalling in JSON is not understood");
                        return;
                    }
                    Message::Ping(_) | Message::Pong(_) => continue,
                };
                let Ok(request) = SignalRequest::decode(bytes) else {
                    tracing::debug!("unreadable signalling message");
                    return;
                };
                // A message of a later protocol version: nothing that we know.
                let Some(message) = request.message else { continue };
                let leaves = matches!(message, signal_request::Message::Leave(_));
                let message = Box::new(message);
                if !relay.command(Command::Signal { session, message }).await || leaves {
                    return;
                }
            }
        }
    }
}

async fn close(mut socket: WebSocket, refusal: Option<&Refusal>) {
    let frame = CloseFrame {
        code: if refusal.is_some() { close_code::POLICY } else { close_code::NORMAL },
        reason: refusal.map(ToString::to_string).unwrap_or_default().into(),
    };
    // The other side may be gone already.
    let _ = timeout(PING_TIMEOUT, socket.send(Message::Close(Some(frame)))).await;
}
