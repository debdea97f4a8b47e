//! How do the core's lists and states reach the screen?

use dioxus::prelude::*;
use futures_util::StreamExt;
use kith_client_core::{Changes, Stream, VectorDiff, apply};

/// Brings a list on the screen up to date as long as the stream lasts. A changed row changes alone; whoever draws
/// the others is not asked.
pub async fn drive<T: Clone + PartialEq + 'static>(
    mut changes: Changes<T>,
    mut rows: Store<Vec<T>>,
) {
    while let Some(batch) = changes.next().await {
        // Many at once (a first page, a page of history) are one change of the list.
        if batch.len() > 4 {
            let mut rows = rows.write();
            for difference in batch {
                apply(&mut rows, difference);
            }
            continue;
        }
        for difference in batch {
            step(difference, &mut rows);
        }
    }
}

fn step<T: Clone + PartialEq + 'static>(difference: VectorDiff<T>, rows: &mut Store<Vec<T>>) {
    match difference {
        VectorDiff::Set { index, value } => {
            if let Some(mut row) = rows.get(index)
                && *row.peek() != value
            {
                row.set(value);
            }
        }
        VectorDiff::PushBack { value } => rows.push(value),
        other => apply(&mut rows.write(), other),
    }
}

/// A list that follows a stream until the component is gone.
pub fn use_rows<T: Clone + PartialEq + 'static>(
    start: impl FnOnce() -> Changes<T> + 'static,
) -> Store<Vec<T>> {
    let rows = use_store(Vec::new);
    use_hook(|| spawn(drive(start(), rows)));
    rows
}

/// A value that follows a stream until the component is gone.
pub fn use_latest<T: PartialEq + 'static>(
    first: T,
    start: impl FnOnce() -> Stream<T> + 'static,
) -> Signal<T> {
    let mut latest = use_signal(|| first);
    use_hook(|| {
        let mut stream = start();
        spawn(async move {
            while let Some(value) = stream.next().await {
                if *latest.peek() != value {
                    latest.set(value);
                }
            }
        })
    });
    latest
}
