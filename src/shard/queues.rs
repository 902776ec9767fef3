//! The queues of a shard, and what all of them have to know: how large the window of each is, and by how much the wall
//! clock is ahead. Where that changes, no queue is looked at. Each takes it over when it is next touched, before anything
//! else happens to it, and a sweep brings those up to date that nobody touches, some in each turn. So what a queue does
//! never depends on where the sweep is. What the values are, and what a queue does, is not decided here.

use super::history::History;
use super::slot::{QueueSlot, Slot};
use crate::model::holdings::Holdings;
use crate::model::ids::QueueId;
use crate::model::maps::GrowingMap;
use crate::model::sparse::ShrinkIfSparse;

/// Queues that a turn brings up to date at the most: a third of a microsecond each.
const SWEPT: usize = 2048;

/// What every queue has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Values {
    /// Bytes that ready messages of a queue may take: of those that the store has too, and of all.
    pub(super) windows: (usize, usize),
    /// By how many milliseconds the wall clock is ahead of the broker's time.
    pub(super) wall_ahead: i64,
}

/// All of them, and the histories, of which there is nothing to be known.
#[derive(Debug)]
pub(super) struct Queues {
    slots: GrowingMap<QueueId, Slot>,
    /// Queues to be pumped at the end of the turn, each once.
    pub(super) touched: Vec<QueueId>,
    values: Values,
    /// Counts how often the values have changed, round and round: a queue has them long before the same number comes again.
    generation: u32,
    /// How many queues do not have the values of this generation.
    stale: usize,
    /// All queues, in no order that matters.
    order: Vec<QueueId>,
    /// The sweep goes on in front of this place, and begins again at the end.
    swept_to: usize,
}

impl Queues {
    pub(super) fn new(values: Values) -> Queues {
        Queues {
            slots: GrowingMap::default(),
            touched: Vec::new(),
            values,
            generation: 0,
            stale: 0,
            order: Vec::new(),
            swept_to: 0,
        }
    }

    pub(super) fn holdings(&self, into: &mut Holdings) {
        let Queues { slots, touched, values: _, generation: _, stale, order, swept_to: _ } = self;
        into.declared("shard: queues", slots);
        slots.values().for_each(|slot| slot.holdings(into));
        let histories = slots.values().filter(|slot| matches!(slot, Slot::History(_))).count();
        into.declared("shard: histories", &histories);
        into.in_transit("shard: touched queues", touched);
        into.in_transit("shard: queues that have to be swept", stale);
        into.declared("shard: order of the sweep", order);
    }

    /// Whether there is such a queue.
    pub(super) fn contains(&self, id: QueueId) -> bool {
        self.get(id).is_some()
    }

    /// A queue to look at, which may not know the values yet.
    pub(super) fn get(&self, id: QueueId) -> Option<&QueueSlot> {
        match self.slots.get(&id)? {
            Slot::Queue(slot) => Some(slot),
            Slot::History(_) => None,
        }
    }

    pub(super) fn history(&self, id: QueueId) -> Option<&History> {
        match self.slots.get(&id)? {
            Slot::History(history) => Some(history),
            Slot::Queue(_) => None,
        }
    }

    pub(super) fn history_mut(&mut self, id: QueueId) -> Option<&mut History> {
        match self.slots.get_mut(&id)? {
            Slot::History(history) => Some(history),
            Slot::Queue(_) => None,
        }
    }

    /// A queue to do something with.
    #[inline]
    pub(super) fn get_mut(&mut self, id: QueueId) -> Option<&mut QueueSlot> {
        let Slot::Queue(slot) = self.slots.get_mut(&id)? else { return None };
        if slot.generation != self.generation {
            self.stale -= 1;
            slot.generation = self.generation;
            apply_values(slot, &self.values, &mut self.touched, id);
        }
        Some(slot)
    }

    /// The same, which is pumped at the end of the turn besides.
    #[inline]
    pub(super) fn get_touched(&mut self, id: QueueId) -> Option<&mut QueueSlot> {
        match self.get_any_touched(id)? {
            Slot::Queue(slot) => Some(slot),
            Slot::History(_) => None,
        }
    }

    /// Whatever has this id; if it is a queue it is pumped at the end of the turn.
    #[inline]
    pub(super) fn get_any_touched(&mut self, id: QueueId) -> Option<&mut Slot> {
        let any = self.slots.get_mut(&id)?;
        if let Slot::Queue(slot) = any {
            if slot.generation != self.generation {
                self.stale -= 1;
                slot.generation = self.generation;
                apply_values(slot, &self.values, &mut self.touched, id);
            }
            if !slot.touched {
                slot.touched = true;
                self.touched.push(id);
            }
        }
        Some(any)
    }

    /// Has a queue pumped at the end of the turn.
    #[inline]
    pub(super) fn touch(&mut self, id: QueueId) {
        self.get_touched(id);
    }

    /// Adds a queue, which is pumped at the end of the turn, or a history.
    pub(super) fn add(&mut self, id: QueueId, mut any: Slot) {
        if let Slot::Queue(slot) = &mut any {
            let Values { windows: (stored, all), wall_ahead } = self.values;
            slot.queue.set_window(stored, all);
            slot.queue.set_wall_ahead(wall_ahead);
            slot.touched = true;
            slot.generation = self.generation;
            slot.place = u32::try_from(self.order.len()).unwrap_or(u32::MAX);
            self.order.push(id);
            self.touched.push(id);
        }
        self.slots.insert(id, any);
    }

    pub(super) fn remove(&mut self, id: QueueId) -> Option<Slot> {
        let any = self.slots.remove(&id)?;
        self.slots.shrink_if_sparse();
        if let Slot::Queue(slot) = &any {
            self.stale -= usize::from(slot.generation != self.generation);
            let place = slot.place as usize;
            self.order.swap_remove(place);
            self.order.shrink_if_sparse();
            let moved = self.order.get(place).copied();
            if let Some(Slot::Queue(moved)) = moved.and_then(|moved| self.slots.get_mut(&moved)) {
                moved.place = slot.place;
            }
        }
        Some(any)
    }

    /// These are the values from now on.
    pub(super) fn set(&mut self, values: Values) {
        if self.values != values {
            self.values = values;
            self.generation = self.generation.wrapping_add(1);
            self.stale = self.order.len();
        }
    }

    pub(super) fn values(&self) -> Values {
        self.values
    }

    /// Whether there are queues that do not have the values.
    pub(super) fn has_stale(&self) -> bool {
        self.stale > 0
    }

    /// Has some of those take them over that nobody has touched; those that hold more than they may now are pumped.
    pub(super) fn sweep(&mut self) {
        for _ in 0..SWEPT {
            if self.stale == 0 {
                return;
            }
            // What is moved forward by a removal may be passed over, and comes with the next round.
            let from = if self.swept_to == 0 { self.order.len() } else { self.swept_to };
            self.swept_to = from.min(self.order.len()).saturating_sub(1);
            if let Some(&id) = self.order.get(self.swept_to) {
                self.get_mut(id);
            }
        }
    }
}

/// Tells a queue what has changed. One that has to let go of messages for it is pumped, whatever it was touched for.
#[cold]
fn apply_values(slot: &mut QueueSlot, values: &Values, touched: &mut Vec<QueueId>, id: QueueId) {
    let Values { windows: (stored, all), wall_ahead } = *values;
    slot.queue.set_window(stored, all);
    slot.queue.set_wall_ahead(wall_ahead);
    if !slot.touched && slot.queue.exceeds_window() {
        slot.touched = true;
        touched.push(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::command::QueueLabel;
    use crate::model::ids::{QueueRef, ShardIndex, Timestamp};
    use crate::model::settings::QueueSettings;
    use crate::queue::Queue;
    use crate::shard::accounts::Booked;

    const MANY: usize = 3 * SWEPT;

    fn queues() -> Queues {
        let mut queues = Queues::new(Values { windows: (1, 8), wall_ahead: 0 });
        for id in (0..MANY as u64).map(QueueId) {
            let at = QueueRef { queue: id, shard: ShardIndex::alone(0) };
            let label = QueueLabel { vhost: "/".into(), name: "q".into() };
            let queue = Queue::new(at, QueueSettings::default(), Timestamp(0));
            queues.add(id, Slot::Queue(Box::new(QueueSlot::new(queue, label, Booked::default()))));
        }
        queues
    }

    fn values(number: usize) -> Values {
        Values { windows: (number, 8 * number), wall_ahead: 0 }
    }

    fn all(queues: &Queues) -> impl Iterator<Item = &QueueSlot> {
        queues.order.iter().filter_map(|&id| queues.get(id))
    }

    /// How many queues know the values.
    fn up_to_date(queues: &Queues) -> usize {
        all(queues).filter(|slot| slot.generation == queues.generation).count()
    }

    #[test]
    fn a_change_visits_nobody_and_a_sweep_brings_some_up_to_date_in_each_turn() {
        let mut queues = queues();
        queues.set(values(2));
        assert_eq!((up_to_date(&queues), queues.has_stale()), (0, true));
        for turn in 1..=3 {
            queues.sweep();
            assert_eq!(up_to_date(&queues), turn * SWEPT);
        }
        assert!(!queues.has_stale());
        queues.set(values(2));
        assert!(!queues.has_stale(), "nothing has changed");
    }

    #[test]
    fn who_is_touched_knows_the_values_at_once() {
        let mut queues = queues();
        queues.set(values(2));
        let id = QueueId(7);
        let generation = queues.generation;
        assert_eq!(queues.get_mut(id).map(|slot| slot.generation), Some(generation));
        assert_eq!(up_to_date(&queues), 1);
        queues.touch(QueueId(8));
        assert_eq!((up_to_date(&queues), queues.stale), (2, MANY - 2));
    }

    #[test]
    fn a_sweep_ends_whatever_changes_comes_and_goes_meanwhile() {
        let mut queues = queues();
        for change in 2..10 {
            queues.set(values(change));
            queues.sweep();
            for id in (0..100).map(|number| QueueId(number * 50 + change as u64)) {
                queues.remove(id);
            }
        }
        for (place, id) in queues.order.iter().enumerate() {
            assert_eq!(queues.get(*id).map(|slot| slot.place as usize), Some(place));
        }
        let mut turns = 0;
        while queues.has_stale() {
            queues.sweep();
            turns += 1;
        }
        assert_eq!(up_to_date(&queues), queues.slots.len());
        assert!(turns <= 6, "{turns} turns");
    }

    #[test]
    fn changes_that_do_not_end_leave_nobody_out() {
        let mut queues = queues();
        let mut met = vec![false; MANY];
        for change in 2..10 {
            queues.set(values(change));
            queues.sweep();
            for (id, slot) in queues.order.iter().zip(all(&queues)) {
                met[usize::try_from(id.0).unwrap()] |= slot.generation == queues.generation;
            }
        }
        assert!(met.iter().all(|&met| met));
    }
}
