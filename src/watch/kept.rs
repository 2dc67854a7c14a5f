//! What one watch keeps of its objects, from one set of policies to the next. Pure.

use std::sync::Arc;

use crate::core::project::Shape;

/// How often what is kept may change before everything is listed anew.
const MAX_GENERATIONS: usize = 16;

/// What was kept in each generation of a projection, as far back as it matters.
#[derive(Debug)]
pub struct Kept {
    /// The latest last.
    shapes: Vec<(u32, Arc<Shape>)>,
}

/// What is to be done for a change of what is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Less is kept, from the next object on.
    Narrow(u32, Arc<Shape>),
    /// More is kept, and what is known has to be listed again for it.
    Widen(u32, Arc<Shape>),
}

impl Kept {
    /// Keeps this from the beginning, in generation 0.
    pub fn new(shape: Shape) -> Self {
        Self { shapes: vec![(0, Arc::new(shape))] }
    }

    /// What is kept now, or will be after the list that is due.
    pub fn shape(&self) -> &Shape {
        static NOTHING: Shape = Shape::NONE;
        self.shapes.last().map_or(&NOTHING, |(_, shape)| shape)
    }

    /// Keeps what is wanted now.
    pub fn want(&mut self, wanted: &Shape) -> Option<Step> {
        let (generation, current) = self.shapes.last().cloned()?;
        if *current == *wanted {
            return None;
        }
        let (generation, shape) = (generation + 1, Arc::new(wanted.clone()));
        self.shapes.push((generation, shape.clone()));
        let forgets = self.shapes.len() > MAX_GENERATIONS;
        if forgets {
            self.shapes.remove(0);
        }
        Some(match current.includes(wanted) && !forgets {
            true => Step::Narrow(generation, shape),
            false => Step::Widen(generation, shape),
        })
    }

    /// The generation from which on all that is needed has been kept.
    pub fn since(&self, needed: &Shape) -> u32 {
        let lacks = |(_, shape): &&(u32, Arc<Shape>)| !shape.includes(needed);
        match self.shapes.iter().rev().find(lacks) {
            Some((generation, _)) => generation + 1,
            None => self.shapes.first().map_or(0, |(generation, _)| *generation),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::paths::Paths;

    fn shape(fields: &[&str]) -> Shape {
        let paths: Vec<Vec<&str>> = fields.iter().map(|field| vec!["spec", *field]).collect();
        Paths::only(paths.iter().map(Vec::as_slice)).into()
    }

    #[test]
    fn only_what_was_not_kept_is_listed_again() {
        let mut kept = Kept::new(shape(&["a", "b"]));
        assert_eq!(kept.want(&shape(&["a", "b"])), None);
        assert_eq!(kept.want(&shape(&["a"])), Some(Step::Narrow(1, shape(&["a"]).into())));
        assert_eq!((kept.since(&shape(&["a"])), kept.since(&shape(&[]))), (0, 0));
        // What is known in generation 1 lacks b, though that of generation 0 had it.
        assert_eq!(kept.want(&shape(&["a", "b"])), Some(Step::Widen(2, shape(&["a", "b"]).into())));
        assert_eq!((kept.since(&shape(&["b"])), kept.since(&shape(&["a"]))), (2, 0));
    }

    #[test]
    fn managed_fields_are_more() {
        let mut kept = Kept::new(shape(&["a"]));
        let with = Shape { managed_fields: true, ..shape(&["a"]) };
        assert!(matches!(kept.want(&with), Some(Step::Widen(1, _))));
        assert_eq!((kept.since(&with), kept.since(&shape(&["a"]))), (1, 0));
        assert!(matches!(kept.want(&shape(&["a"])), Some(Step::Narrow(2, _))));
    }

    #[test]
    fn the_past_is_bounded_and_ends_in_a_list() {
        let mut kept = Kept::new(shape(&["a", "b"]));
        let steps: Vec<Step> = (0..40)
            .filter_map(|n| kept.want(&shape(if n % 2 == 0 { &["a"] } else { &["a", "b"] })))
            .collect();
        assert!(kept.shapes.len() <= MAX_GENERATIONS);
        // Who is known from before the oldest that is remembered waits for a list, so one comes.
        assert!(matches!(steps.last(), Some(Step::Widen(..))));
        assert!(kept.since(&shape(&["a"])) > 0);
    }
}
