//! Loops over lists and maps.
//!
//! Charged as cel-go charges the folds that it expands them to: a few steps around each evaluation of the body.

use std::collections::BTreeMap;

use super::super::code::{Body, Code, Loop};
use super::super::cost;
use super::super::fault::Fault;
use super::super::libraries::lists;
use super::super::value::{List, Map, Value};
use super::{Run, insert};

/// What a loop runs over.
enum Range<'a> {
    List(List<'a>),
    Map(Map<'a>),
}

impl<'a> Range<'a> {
    fn len(&self) -> usize {
        match self {
            Self::List(list) => list.len(),
            Self::Map(map) => map.len(),
        }
    }

    /// What the names of the loop stand for: the element, or the key and the value.
    fn at(&self, n: usize, two: bool) -> (Value<'a>, Value<'a>) {
        match self {
            Self::List(list) if two => (Value::Int(n as i64), list.get(n).unwrap_or(Value::Null)),
            Self::List(list) => (list.get(n).unwrap_or(Value::Null), Value::Null),
            Self::Map(map) => map.at(n).unwrap_or((Value::Null, Value::Null)),
        }
    }
}

impl<'a> Run<'_, 'a> {
    #[inline(never)]
    pub(super) fn repeat(&mut self, repeated: &Loop) -> Result<Value<'a>, Fault> {
        let range = match self.eval(&repeated.range)? {
            Value::List(list) => Range::List(list),
            Value::Map(map) => Range::Map(map),
            Value::Optional(Some(inner)) => match &*inner {
                Value::List(list) => Range::List(list.clone()),
                Value::Map(map) => Range::Map(map.clone()),
                other => return Err(not_a_range(other)),
            },
            other => return Err(not_a_range(&other)),
        };
        match &repeated.body {
            Body::All(condition) => self.decide(repeated, &range, condition, false),
            Body::Exists(condition) => self.decide(repeated, &range, condition, true),
            Body::ExistsOne(condition) => self.exists_one(repeated, &range, condition),
            Body::Filter(condition) => self.filter(repeated, &range, condition),
            Body::Map { condition, value } => self.transform(repeated, &range, condition.as_ref(), value),
            Body::TransformMap { condition, value } => {
                self.transform_map(repeated, &range, condition.as_ref(), value, false)
            }
            Body::TransformMapEntry { condition, entries } => {
                self.transform_map(repeated, &range, condition.as_ref(), entries, true)
            }
            Body::SortBy(key) => self.sort_by(repeated, &range, key),
        }
    }

    /// Binds the names of the loop to its `n`th element; returns what the first stands for.
    fn enter(&mut self, repeated: &Loop, range: &Range<'a>, n: usize) -> Value<'a> {
        let (first, second) = range.at(n, repeated.second.is_some());
        if let Some(slot) = repeated.second {
            self.set(slot, second);
        }
        self.set(repeated.first, first.clone());
        first
    }

    /// `all` is decided by a false, `exists` by a true, whatever the others do.
    fn decide(
        &mut self,
        repeated: &Loop,
        range: &Range<'a>,
        condition: &Code,
        decisive: bool,
    ) -> Result<Value<'a>, Fault> {
        let mut failed = None;
        self.meter.charge(1)?;
        for n in 0..range.len() {
            self.enter(repeated, range, n);
            self.meter.charge(3 + u64::from(decisive))?;
            match self.eval(condition) {
                Ok(Value::Bool(b)) if b == decisive => return Ok(Value::Bool(decisive)),
                Ok(Value::Bool(_)) => {}
                Ok(other) => {
                    failed.get_or_insert_with(|| not_a_bool(&other));
                }
                Err(Fault::Budget) => return Err(Fault::Budget),
                Err(error) => {
                    failed.get_or_insert(error);
                }
            }
        }
        failed.map_or(Ok(Value::Bool(!decisive)), Err)
    }

    fn exists_one(
        &mut self,
        repeated: &Loop,
        range: &Range<'a>,
        condition: &Code,
    ) -> Result<Value<'a>, Fault> {
        let mut found = 0;
        self.meter.charge(2)?;
        for n in 0..range.len() {
            self.enter(repeated, range, n);
            found += usize::from(self.holds(Some(condition), 2)?);
        }
        Ok(Value::Bool(found == 1))
    }

    fn filter(&mut self, repeated: &Loop, range: &Range<'a>, condition: &Code) -> Result<Value<'a>, Fault> {
        let mut kept = Vec::new();
        self.meter.charge(cost::LIST + 1)?;
        for n in 0..range.len() {
            let element = self.enter(repeated, range, n);
            if self.holds(Some(condition), cost::LIST + 3)? {
                kept.push(element);
            }
        }
        Ok(Value::list(kept))
    }

    fn transform(
        &mut self,
        repeated: &Loop,
        range: &Range<'a>,
        condition: Option<&Code>,
        value: &Code,
    ) -> Result<Value<'a>, Fault> {
        let mut made = Vec::new();
        self.meter.charge(cost::LIST + 1)?;
        for n in 0..range.len() {
            self.enter(repeated, range, n);
            if self.holds(condition, cost::LIST + 2)? {
                made.push(self.eval(value)?);
            }
        }
        Ok(Value::list(made))
    }

    fn transform_map(
        &mut self,
        repeated: &Loop,
        range: &Range<'a>,
        condition: Option<&Code>,
        value: &Code,
        entries: bool,
    ) -> Result<Value<'a>, Fault> {
        let mut made = BTreeMap::new();
        self.meter.charge(cost::MAP + 1)?;
        for n in 0..range.len() {
            let key = self.enter(repeated, range, n);
            if !self.holds(condition, 3)? {
                continue;
            }
            match self.eval(value)? {
                value if !entries => insert(&mut made, &key, value)?,
                Value::Map(new) => {
                    for (key, value) in new.iter() {
                        self.meter.charge(1)?;
                        insert(&mut made, &key, value)?;
                    }
                }
                other => return Err(Fault::no_such_overload("transformMapEntry", &[other])),
            }
        }
        Ok(Value::map(made))
    }

    fn sort_by(&mut self, repeated: &Loop, range: &Range<'a>, key: &Code) -> Result<Value<'a>, Fault> {
        if matches!(range, Range::Map(_)) {
            return Err(Fault::new("no such overload: sortBy of map"));
        }
        let (mut keys, mut elements) = (Vec::new(), Vec::new());
        self.meter.charge(2 * cost::LIST)?;
        for n in 0..range.len() {
            elements.push(self.enter(repeated, range, n));
            self.meter.charge(cost::LIST + 2)?;
            keys.push(self.eval(key)?);
        }
        lists::sort_by(&List::Made(elements.into()), &List::Made(keys.into()), self.meter)
    }

    /// Whether the body is to be evaluated for this element; charges for it if so, and 1 if not.
    pub(super) fn holds(&mut self, condition: Option<&Code>, charge: u64) -> Result<bool, Fault> {
        let Some(condition) = condition else {
            self.meter.charge(charge)?;
            return Ok(true);
        };
        match self.eval(condition)? {
            Value::Bool(holds) => {
                self.meter.charge(if holds { charge } else { 1 })?;
                Ok(holds)
            }
            other => Err(not_a_bool(&other)),
        }
    }
}

fn not_a_bool(value: &Value<'_>) -> Fault {
    Fault::new(format!("no such overload: {} is used as a condition", value.describe()))
}

fn not_a_range(value: &Value<'_>) -> Fault {
    Fault::new(format!("{} is looped over; want a list or a map", value.describe()))
}
