//! How does a file come, in one request or in many?
//!
//! A URI is reserved, bytes are appended, and the last request finishes the file; each may break off at
//! any byte. What was acknowledged is durable. A file's rows are changed by one request at a time; a newer
//! one ends the older.

use std::fmt;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream::BoxStream};
use kith_store::{
    Batch,
    tables::{MediaRow, MediaState},
};
use rand::{Rng, distr::Alphanumeric};
use ruma::{OwnedServerName, UserId};

use crate::{
    Error, Inner, MediaStore,
    agenda::{self, Duty},
    append::{Appender, End},
    id::Mxc,
    live::Turn,
    policy::milliseconds,
    quota::{Delta, Owner},
    record,
};

/// Letters and digits of a media ID: nobody guesses one.
const ID_LENGTH: usize = 24;

/// What an uploader or another server says of a file; none of it is to be believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Meta {
    pub content_type: Option<String>,
    pub filename: Option<String>,
    /// Cut where the content says so, so that files of which parts are the same share chunks.
    pub cut_by_content: bool,
}

/// One request that brings bytes.
#[derive(Debug, Clone, Default)]
pub struct Append {
    /// How many bytes come before these.
    pub offset: u64,
    /// What came before is forgotten: these are the first. `offset` is 0.
    pub restart: bool,
    /// The file is whole with the last of these.
    pub complete: bool,
    /// The file is whole when all its bytes are there, however many requests bring them.
    pub complete_at_length: bool,
    /// Bytes of the whole file, if they are known.
    pub length: Option<u64>,
    /// Replaces what was said before, where it says something.
    pub meta: Meta,
    /// The SHA-256 that the whole file has to have.
    pub sha256: Option<[u8; 32]>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    pub mxc: Mxc,
    /// Milliseconds since the epoch.
    pub expires: u64,
}

/// Where an upload stands after a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    pub mxc: Mxc,
    /// Its size is how many bytes are durable; whole if its state is [`MediaState::Complete`].
    pub row: MediaRow,
}

pub(crate) type Body = BoxStream<'static, Result<Bytes, String>>;

impl MediaStore {
    /// Gives out a URI to which `who` may upload for a while.
    /// [Spec](https://spec.matrix.org/latest/client-server-api/#post_matrixmediav1create)
    pub async fn reserve(
        &self,
        who: &UserId,
        meta: Meta,
        length: Option<u64>,
    ) -> Result<Reservation, Error> {
        let inner = &*self.0;
        if length.is_some_and(|length| length > inner.policy.largest) {
            return Err(Error::TooLarge { limit: inner.policy.largest });
        }
        let more = Delta { bytes: bytes(length.unwrap_or(0)), files: 1, pending: 0 };
        inner.counters.allow(Owner::Local(Some(who)), more, &inner.policy).await?;
        let mxc = new_mxc(&inner.server);
        let expires = inner.now() + milliseconds(inner.policy.unused);
        let row =
            MediaRow { length, ..inner.new_row(Some(who), meta, MediaState::Reserved { expires }) };
        let mut batch = Batch::new();
        record::put(&mut batch, &mxc, &row);
        record::put_new(&mut batch, &mxc, &row);
        agenda::note(&mut batch, Duty::Expire, expires, &mxc);
        let delta = Delta { pending: 1, ..Delta::default() };
        let submitted =
            inner.counters.submit(batch, Owner::Local(Some(who)), delta, &inner.policy).await?;
        submitted.answered().await?;
        Ok(Reservation { mxc, expires })
    }

    /// Where an upload stands; whatever request goes on with it is ended first, so that nothing is added
    /// after this answers.
    pub async fn status(&self, mxc: &Mxc, who: &UserId) -> Result<Appended, Error> {
        let turn = self.turn(mxc).await?;
        let row = self.0.unfinished_or_whole(&turn, who).await?;
        Ok(Appended { mxc: mxc.clone(), row })
    }

    /// Takes the bytes of one request. Whatever becomes of the request, what has come is kept for the next
    /// one, except where the error says that the upload is gone.
    pub async fn append<E: fmt::Display>(
        &self,
        mxc: &Mxc,
        who: &UserId,
        request: Append,
        body: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
    ) -> Result<Appended, Error> {
        let turn = self.turn(mxc).await?;
        let mut row = self.0.unfinished_or_whole(&turn, who).await?;
        if row.state == MediaState::Complete {
            return Err(Error::Exists);
        }
        if request.restart {
            self.0.let_go(&turn, &mut row).await?;
        }
        if request.offset != row.size {
            return Err(Error::WrongOffset { expected: row.size, provided: request.offset });
        }
        if let (Some(length), Some(announced)) = (request.length, row.length)
            && length != announced
            && !request.restart
        {
            return Err(Error::WrongLength { length: announced, size: length });
        }
        row.length = if request.restart { request.length } else { row.length.or(request.length) };
        let Meta { content_type, filename, cut_by_content } = request.meta;
        row.content_type = content_type.or(row.content_type);
        row.filename = filename.or(row.filename);
        if row.size == 0 {
            row.cut_by_content = cut_by_content;
        }
        let appender = Appender::resume(self.clone(), turn, row, self.0.policy.largest).await?;
        let end = End { complete: request.complete, at_length: request.complete_at_length };
        self.run(appender, end, request.sha256, body).await
    }

    /// Takes a whole file. Nothing is left of it if that fails.
    pub async fn upload<E: fmt::Display>(
        &self,
        who: &UserId,
        meta: Meta,
        length: Option<u64>,
        body: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
    ) -> Result<Appended, Error> {
        let inner = &*self.0;
        let limit = inner.policy.largest;
        if length.is_some_and(|length| length > limit) {
            return Err(Error::TooLarge { limit });
        }
        let more = Delta { bytes: bytes(length.unwrap_or(0)), files: 1, pending: 0 };
        inner.counters.allow(Owner::Local(Some(who)), more, &inner.policy).await?;
        self.whole(new_mxc(&inner.server), Some(who), inner.now(), meta, length, limit, body).await
    }

    /// Takes a file of another server, in place of whatever was kept under its name.
    pub async fn keep_remote<E: fmt::Display>(
        &self,
        mxc: Mxc,
        meta: Meta,
        length: Option<u64>,
        limit: u64,
        body: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
    ) -> Result<Appended, Error> {
        if length.is_some_and(|length| length > limit) {
            return Err(Error::TooLarge { limit });
        }
        let now = self.0.now();
        let kept = self.whole(mxc, None, now, meta, length, limit, body).await?;
        self.make_room(Some(&kept.mxc)).await?;
        Ok(kept)
    }

    /// Takes a file as it was kept elsewhere before, if it is not here yet. `created` is in milliseconds
    /// since the epoch.
    pub async fn import<E: fmt::Display>(
        &self,
        mxc: Mxc,
        meta: Meta,
        created: u64,
        body: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
    ) -> Result<(), Error> {
        if self.0.row(&mxc).await?.is_none_or(|row| row.state != MediaState::Complete) {
            self.whole(mxc, None, created, meta, None, u64::MAX, body).await?;
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "what the three ways in have in common")]
    async fn whole<E: fmt::Display>(
        &self,
        mxc: Mxc,
        who: Option<&UserId>,
        created: u64,
        meta: Meta,
        length: Option<u64>,
        limit: u64,
        body: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
    ) -> Result<Appended, Error> {
        let turn = self.turn(&mxc).await?;
        if who.is_none() {
            if self.0.row(&mxc).await?.is_some_and(|row| row.quarantined.is_some()) {
                return Err(Error::NotFound);
            }
            self.0.purge(&turn).await?;
        }
        let expires = self.0.now() + milliseconds(self.0.policy.unfinished);
        let state = MediaState::Uploading { expires, reserved: false };
        let row = MediaRow { length, created, ..self.0.new_row(who, meta, state) };
        let appender = Appender::new(self.clone(), turn, row, limit);
        let end = End { complete: true, at_length: false };
        self.run(appender, end, None, body).await
    }

    /// Goes on to its end even if the caller does not wait: what has come must be kept.
    async fn run<E: fmt::Display>(
        &self,
        appender: Appender,
        end: End,
        sha256: Option<[u8; 32]>,
        body: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
    ) -> Result<Appended, Error> {
        let body = body.map(|piece| piece.map_err(|error| error.to_string())).boxed();
        let task = self.0.tasks.spawn(appender.run(end, sha256, body));
        task.await.map_err(|_| Error::Closed)?
    }

    /// Forgets an upload that is not finished.
    pub async fn cancel(&self, mxc: &Mxc, who: &UserId) -> Result<(), Error> {
        let turn = self.turn(mxc).await?;
        let row = self.0.unfinished_or_whole(&turn, who).await?;
        if row.state == MediaState::Complete {
            return Err(Error::Exists);
        }
        self.0.purge(&turn).await?;
        Ok(())
    }

    pub(crate) async fn turn(&self, mxc: &Mxc) -> Result<Turn, Error> {
        if self.0.stopping.is_cancelled() {
            return Err(Error::Closed);
        }
        Ok(self.0.live.take_turn(mxc, &self.0.stopping).await)
    }
}

impl Inner {
    pub(crate) fn new_row(&self, who: Option<&UserId>, meta: Meta, state: MediaState) -> MediaRow {
        let now = self.now();
        MediaRow {
            uploader: who.map(ToOwned::to_owned),
            content_type: meta.content_type,
            sniffed: None,
            filename: meta.filename,
            size: 0,
            length: None,
            sha256: None,
            created: now,
            accessed: now,
            state,
            quarantined: None,
            protected: false,
            cut_by_content: meta.cut_by_content,
        }
    }

    /// The user's own file, if it still can be uploaded to or is there.
    async fn unfinished_or_whole(&self, turn: &Turn, who: &UserId) -> Result<MediaRow, Error> {
        let row = self.row(turn.mxc()).await?.ok_or(Error::NotFound)?;
        if row.uploader.as_deref() != Some(who) {
            return Err(if self.is_remote(turn.mxc()) { Error::NotFound } else { Error::NotYours });
        }
        match row.state {
            _ if expired(&row, self.now()) => Err(Error::NotFound),
            MediaState::Trashed { .. } => Err(Error::NotFound),
            _ => Ok(row),
        }
    }
}

/// Whether nobody may go on with it any more.
pub(crate) fn expired(row: &MediaRow, now: u64) -> bool {
    match row.state {
        MediaState::Reserved { expires } | MediaState::Uploading { expires, .. } => expires <= now,
        MediaState::Complete | MediaState::Trashed { .. } => false,
    }
}

fn new_mxc(server: &OwnedServerName) -> Mxc {
    let id: String =
        rand::rng().sample_iter(Alphanumeric).take(ID_LENGTH).map(char::from).collect();
    Mxc::new(server.clone(), id).expect("letters and digits are a media ID")
}

/// As the counters take it; no file is larger.
pub(crate) fn bytes(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}
