//! The lanes of a queue by priority, each made when the first message comes into it. One that was never made is empty.

use std::ops::{Index, IndexMut};

use super::lane::Lane;
use super::on_first_use::{OnFirstUse, Part};
use crate::model::op;

#[derive(Debug, Default)]
pub(super) struct Lanes(Vec<OnFirstUse<Lane>>);

impl Lanes {
    /// One more than the highest number of a lane that was made.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn get(&self, number: usize) -> Option<&Lane> {
        self.0.get(number).map(|lane| &**lane)
    }

    /// A lane that was made.
    pub(super) fn get_mut(&mut self, number: usize) -> Option<&mut Lane> {
        self.0.get_mut(number)?.made()
    }

    /// All up to the highest that was made, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Lane> {
        self.0.iter().map(|lane| &**lane)
    }

    /// The same with their numbers.
    pub(super) fn numbered(&self) -> impl Iterator<Item = (op::Lane, &Lane)> {
        (0..=op::Lane::MAX).zip(self.iter())
    }

    /// Those that were made.
    pub(super) fn made(&mut self) -> impl Iterator<Item = &mut Lane> {
        self.0.iter_mut().filter_map(OnFirstUse::made)
    }

    /// The same with their numbers.
    pub(super) fn made_with_numbers(&mut self) -> impl Iterator<Item = (op::Lane, &mut Lane)> {
        (0..=op::Lane::MAX)
            .zip(&mut self.0)
            .filter_map(|(number, lane)| lane.made().map(|lane| (number, lane)))
    }

    /// The only one that has messages; None where there are more, or none.
    pub(super) fn only(&self) -> Option<&Lane> {
        let mut lanes = self.iter().filter(|lane| !lane.is_empty());
        lanes.next().filter(|_| lanes.next().is_none())
    }

    /// Takes all of them away.
    pub(super) fn take(&mut self) -> Vec<Lane> {
        std::mem::take(&mut self.0).iter_mut().filter_map(OnFirstUse::take_away).map(|lane| *lane).collect()
    }

    #[cold]
    fn grow(&mut self, len: usize) {
        self.0.reserve_exact(len - self.0.len());
        self.0.resize_with(len, OnFirstUse::default);
    }
}

impl Index<usize> for Lanes {
    type Output = Lane;

    #[inline]
    fn index(&self, number: usize) -> &Lane {
        self.get(number).unwrap_or_else(|| Lane::none())
    }
}

impl IndexMut<usize> for Lanes {
    #[inline]
    fn index_mut(&mut self, number: usize) -> &mut Lane {
        if number >= self.0.len() {
            self.grow(number + 1);
        }
        &mut self.0[number]
    }
}
