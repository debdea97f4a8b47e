//! Lists that change: how their differences travel.

use std::{future::Future, pin::Pin};

use async_stream::stream;
use eyeball_im::{Vector, VectorDiff};
use futures_util::StreamExt;
use tokio::sync::watch;

/// A stream that belongs to one thread. Dropping it ends what it watched.
pub type Stream<T> = futures_util::stream::LocalBoxStream<'static, T>;

/// The differences of a list, in batches that belong together. The first is a [`VectorDiff::Reset`].
pub type Changes<T> = Stream<Vec<VectorDiff<T>>>;

/// The value now, and whenever it changes.
pub(crate) fn follow<T: Clone + 'static>(mut value: watch::Receiver<T>) -> Stream<T> {
    value.mark_changed();
    stream! {
        while value.changed().await.is_ok() {
            let now = value.borrow_and_update().clone();
            yield now;
        }
    }
    .boxed_local()
}

/// Brings `rows` up to date. A difference that does not fit is passed over: nothing panics.
pub fn apply<T: Clone>(rows: &mut Vec<T>, difference: VectorDiff<T>) {
    match difference {
        VectorDiff::Append { values } => rows.extend(values),
        VectorDiff::Clear => rows.clear(),
        VectorDiff::PushFront { value } => rows.insert(0, value),
        VectorDiff::PushBack { value } => rows.push(value),
        VectorDiff::PopFront if !rows.is_empty() => drop(rows.remove(0)),
        VectorDiff::PopBack => drop(rows.pop()),
        VectorDiff::Insert { index, value } if index <= rows.len() => rows.insert(index, value),
        VectorDiff::Set { index, value } if index < rows.len() => rows[index] = value,
        VectorDiff::Remove { index } if index < rows.len() => drop(rows.remove(index)),
        VectorDiff::Truncate { length } => rows.truncate(length),
        VectorDiff::Reset { values } => *rows = values.into_iter().collect(),
        VectorDiff::PopFront
        | VectorDiff::Insert { .. }
        | VectorDiff::Set { .. }
        | VectorDiff::Remove { .. } => tracing::warn!("a difference that does not fit its list"),
    }
}

/// The same differences of the rows that `row` makes of the values.
pub(crate) async fn map<T: Clone, R: Clone>(
    difference: VectorDiff<T>,
    row: &mut impl AsyncRow<T, R>,
) -> VectorDiff<R> {
    match difference {
        VectorDiff::Append { values } => VectorDiff::Append { values: all(values, row).await },
        VectorDiff::Reset { values } => VectorDiff::Reset { values: all(values, row).await },
        VectorDiff::Clear => VectorDiff::Clear,
        VectorDiff::PushFront { value } => VectorDiff::PushFront { value: row.row(value).await },
        VectorDiff::PushBack { value } => VectorDiff::PushBack { value: row.row(value).await },
        VectorDiff::PopFront => VectorDiff::PopFront,
        VectorDiff::PopBack => VectorDiff::PopBack,
        VectorDiff::Insert { index, value } => {
            VectorDiff::Insert { index, value: row.row(value).await }
        }
        VectorDiff::Set { index, value } => VectorDiff::Set { index, value: row.row(value).await },
        VectorDiff::Remove { index } => VectorDiff::Remove { index },
        VectorDiff::Truncate { length } => VectorDiff::Truncate { length },
    }
}

/// Makes a row of a value; may look things up.
pub(crate) trait AsyncRow<T, R> {
    fn row(&mut self, value: T) -> Pin<Box<dyn Future<Output = R> + '_>>;
}

async fn all<T: Clone, R: Clone>(values: Vector<T>, row: &mut impl AsyncRow<T, R>) -> Vector<R> {
    let mut rows = Vector::new();
    for value in values {
        rows.push_back(row.row(value).await);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_difference_is_applied_as_the_sdk_applies_it() {
        let values: Vector<u32> = Vector::from_iter([1, 2, 3]);
        let differences = [
            VectorDiff::Reset { values: values.clone() },
            VectorDiff::Append { values },
            VectorDiff::PushFront { value: 9 },
            VectorDiff::PushBack { value: 8 },
            VectorDiff::Insert { index: 2, value: 7 },
            VectorDiff::Set { index: 0, value: 6 },
            VectorDiff::Remove { index: 1 },
            VectorDiff::PopFront,
            VectorDiff::PopBack,
            VectorDiff::Truncate { length: 2 },
        ];
        let (mut theirs, mut ours) = (Vector::new(), Vec::new());
        for difference in differences {
            difference.clone().apply(&mut theirs);
            apply(&mut ours, difference);
            assert_eq!(ours, theirs.iter().copied().collect::<Vec<_>>());
        }
        assert_eq!(ours.len(), 2);
    }

    #[test]
    fn a_difference_that_does_not_fit_changes_nothing() {
        let mut rows = vec![1];
        for difference in [
            VectorDiff::Set { index: 1, value: 0 },
            VectorDiff::Remove { index: 5 },
            VectorDiff::Insert { index: 2, value: 0 },
        ] {
            apply(&mut rows, difference);
        }
        assert_eq!(rows, [1]);
        apply(&mut rows, VectorDiff::Clear);
        apply(&mut rows, VectorDiff::PopFront);
        assert!(rows.is_empty());
    }
}
