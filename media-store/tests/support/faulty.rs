//! A datastore of which every operation fails now and then: before it is done, or after, when only the
//! answer is lost. OpenDAL's own chaos is for reads only.

#![allow(unreachable_pub, reason = "a part of several tests")]

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use opendal::{
    Buffer, Capability, Error, ErrorKind, Metadata, OperationContext, Result,
    raw::{
        Layer, OpCopy, OpCreateDir, OpDelete, OpList, OpPresign, OpRead, OpRename, OpRestore,
        OpStat, OpWrite, RpCreateDir, RpPresign, RpRename, RpRestore, RpStat, Service, ServiceInfo,
        Servicer, oio,
    },
};

/// Fails this share of all operations but reads, of 100; an eighth of the errors call themselves
/// permanent. Errors begin when [`Faulty::begin`] is called.
#[derive(Debug, Clone)]
pub struct Faulty {
    percent: u64,
    rolled: Arc<AtomicU64>,
}

impl Faulty {
    pub fn new(percent: u64) -> Self {
        Self { percent, rolled: Arc::new(AtomicU64::new(u64::MAX)) }
    }

    pub fn begin(&self, seed: u64) {
        self.rolled.store(seed << 32, Ordering::SeqCst);
    }

    fn roll(&self) -> Result<()> {
        let next = |rolled: u64| (rolled != u64::MAX).then(|| rolled + 1);
        let rolled = self.rolled.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next);
        let Ok(rolled) = rolled else { return Ok(()) };
        let digest = blake3::hash(&rolled.to_le_bytes());
        if u64::from(digest.as_bytes()[0]) * 100 >= self.percent * 256 {
            return Ok(());
        }
        let error = Error::new(ErrorKind::Unexpected, "so it was rolled");
        Err(if digest.as_bytes()[1].is_multiple_of(8) { error } else { error.set_temporary() })
    }
}

impl Layer for Faulty {
    fn apply_service(&self, inner: Servicer) -> Servicer {
        Arc::new(FaultyService { inner, faulty: self.clone() })
    }
}

#[derive(Debug)]
pub struct FaultyService {
    inner: Servicer,
    faulty: Faulty,
}

pub struct Rolled<T> {
    inner: T,
    faulty: Faulty,
}

impl FaultyService {
    fn rolled<T>(&self, inner: T) -> Rolled<T> {
        Rolled { inner, faulty: self.faulty.clone() }
    }
}

impl Service for FaultyService {
    type Reader = oio::Reader;
    type Writer = Rolled<oio::Writer>;
    type Lister = Rolled<oio::Lister>;
    type Deleter = Rolled<oio::Deleter>;
    type Copier = oio::Copier;
    type Composer = oio::Composer;

    fn info(&self) -> ServiceInfo {
        self.inner.info()
    }

    fn capability(&self) -> Capability {
        self.inner.capability()
    }

    async fn create_dir(
        &self,
        ctx: &OperationContext,
        path: &str,
        args: OpCreateDir,
    ) -> Result<RpCreateDir> {
        self.inner.create_dir(ctx, path, args).await
    }

    async fn stat(&self, ctx: &OperationContext, path: &str, args: OpStat) -> Result<RpStat> {
        self.faulty.roll()?;
        self.inner.stat(ctx, path, args).await
    }

    fn read(&self, ctx: &OperationContext, path: &str, args: OpRead) -> Result<Self::Reader> {
        self.inner.read(ctx, path, args)
    }

    fn write(&self, ctx: &OperationContext, path: &str, args: OpWrite) -> Result<Self::Writer> {
        self.inner.write(ctx, path, args).map(|inner| self.rolled(inner))
    }

    fn delete(&self, ctx: &OperationContext) -> Result<Self::Deleter> {
        self.inner.delete(ctx).map(|inner| self.rolled(inner))
    }

    fn list(&self, ctx: &OperationContext, path: &str, args: OpList) -> Result<Self::Lister> {
        self.inner.list(ctx, path, args).map(|inner| self.rolled(inner))
    }

    fn copy(
        &self,
        ctx: &OperationContext,
        from: &str,
        to: &str,
        args: OpCopy,
    ) -> Result<Self::Copier> {
        self.inner.copy(ctx, from, to, args)
    }

    async fn rename(
        &self,
        ctx: &OperationContext,
        from: &str,
        to: &str,
        args: OpRename,
    ) -> Result<RpRename> {
        self.inner.rename(ctx, from, to, args).await
    }

    async fn restore(
        &self,
        ctx: &OperationContext,
        path: &str,
        args: OpRestore,
    ) -> Result<RpRestore> {
        self.inner.restore(ctx, path, args).await
    }

    async fn presign(
        &self,
        ctx: &OperationContext,
        path: &str,
        args: OpPresign,
    ) -> Result<RpPresign> {
        self.inner.presign(ctx, path, args).await
    }
}

impl oio::Write for Rolled<oio::Writer> {
    async fn write(&mut self, bytes: Buffer) -> Result<()> {
        self.faulty.roll()?;
        self.inner.write(bytes).await
    }

    async fn close(&mut self) -> Result<Metadata> {
        self.faulty.roll()?;
        let closed = self.inner.close().await?;
        self.faulty.roll()?;
        Ok(closed)
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}

impl oio::List for Rolled<oio::Lister> {
    async fn next(&mut self) -> Result<Option<oio::Entry>> {
        self.inner.next().await
    }
}

impl oio::Delete for Rolled<oio::Deleter> {
    async fn delete(&mut self, path: &str, args: OpDelete) -> Result<()> {
        self.faulty.roll()?;
        self.inner.delete(path, args).await
    }

    async fn close(&mut self) -> Result<()> {
        self.inner.close().await
    }
}
