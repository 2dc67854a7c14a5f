//! How a value gets out of an evaluation.
//!
//! The evaluator's entry that hands out values as they are is inlined into its caller, where a build without
//! optimisation gives it frames of 80 KB; the entry that is not inlined copies the whole value. So an
//! expression that may come to more than a bool is wrapped in `@keep(@slot, …)`: the slot takes the value,
//! with views of the object as views, and the evaluation itself comes to null.

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use cel::common::types::{
    CelBool, CelBytes, CelDouble, CelDuration, CelInt, CelList, CelMap, CelMapKey, CelNull, CelOptional,
    CelString, CelTimestamp, CelType, CelUInt, Type,
};
use cel::common::value::{StaticVal, Val};

use super::view::{self, Registry, ViewId};

/// The name the slot is bound to.
pub(super) const SLOT: &str = "@slot";

/// A value that borrows nothing.
#[derive(Debug)]
pub(super) enum Kept {
    Scalar(Box<dyn Val>),
    View(ViewId),
    List(Vec<Kept>),
    Map(Vec<(CelMapKey<'static>, Kept)>),
    Optional(Option<Box<Kept>>),
}

impl Kept {
    /// Recurses as deep as the expression nested lists and maps; the object's own do not count.
    pub(super) fn of(value: &dyn Val) -> Self {
        if let Some(id) = view::id_of(value) {
            return Self::View(id);
        }
        if let Some(list) = value.downcast_ref::<CelList>() {
            return Self::List(list.inner().iter().map(|item| Self::of(item.as_ref())).collect());
        }
        if let Some(map) = value.downcast_ref::<CelMap>() {
            let entries = map.inner().iter();
            return Self::Map(
                entries.map(|(key, item)| (key.clone().into_static(), Self::of(item.as_ref()))).collect(),
            );
        }
        if let Some(optional) = value.downcast_ref::<CelOptional>() {
            return Self::Optional(optional.option().map(|inner| Box::new(Self::of(inner))));
        }
        Self::Scalar(scalar(value))
    }

    /// The value again, for programs that read it.
    pub(super) fn restore<'a>(self, registry: &Arc<Registry<'a>>) -> Box<dyn Val + 'a> {
        match self {
            Self::Scalar(value) => value,
            Self::View(id) => Registry::view(registry, id),
            Self::List(items) => {
                Box::new(CelList::from(items.into_iter().map(|i| i.restore(registry)).collect::<Vec<_>>()))
            }
            Self::Map(entries) => {
                let entries = entries.into_iter().map(|(key, item)| (key, item.restore(registry)));
                Box::new(CelMap::from(entries.collect::<HashMap<CelMapKey<'a>, _>>()))
            }
            Self::Optional(None) => Box::new(CelOptional::none()),
            Self::Optional(Some(inner)) => Box::new(CelOptional::of(inner.restore(registry))),
        }
    }
}

fn scalar(value: &dyn Val) -> Box<dyn Val> {
    fn copy<T: StaticVal>(value: &dyn Val) -> Option<Box<dyn Val>> {
        value.downcast_ref::<T>().map(|value| value.clone_as_boxed())
    }
    if let Some(text) = value.downcast_ref::<CelString>() {
        return Box::new(CelString::from(text.inner().to_owned()));
    }
    if let Some(bytes) = value.downcast_ref::<CelBytes>() {
        return Box::new(CelBytes::from(bytes.inner().to_vec()));
    }
    copy::<CelBool>(value)
        .or_else(|| copy::<CelInt>(value))
        .or_else(|| copy::<CelDouble>(value))
        .or_else(|| copy::<CelUInt>(value))
        .or_else(|| copy::<CelTimestamp>(value))
        .or_else(|| copy::<CelDuration>(value))
        .or_else(|| copy::<CelType>(value))
        .unwrap_or_else(|| Box::new(CelNull))
}

/// Where `@keep` leaves what it is given.
#[derive(Debug, Clone, Default)]
pub(super) struct Slot(Arc<Mutex<Option<Kept>>>);

impl Slot {
    pub(super) fn put(&self, kept: Kept) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
    }

    pub(super) fn take(&self) -> Option<Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Val for Slot {
    fn get_type(&self) -> &Type {
        Self::cel_type()
    }

    fn cel_type() -> &'static Type {
        <CelNull as Val>::cel_type()
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for Slot {}
