//! A map of bounded size that keeps what was used lately.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::mem;

/// At most `2 * half` entries, in two generations: what is used moves to the young one; when that is full, it becomes
/// the old one, and what nobody has used since is forgotten. An entry therefore outlives at least `half` others.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    half: usize,
}

impl<K: Eq + Hash, V> Recent<K, V> {
    /// An empty map that keeps at most `2 * half` entries, 1 or more. It takes no room before it needs any.
    pub(crate) fn new(half: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), half: half.max(1) }
    }

    /// Whether there is nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.young.is_empty() && self.old.is_empty()
    }

    /// The entry, which counts as used.
    pub(crate) fn get<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        // Nothing is in both, and as long as few are kept there is nothing old.
        if !self.old.is_empty()
            && let Some((key, value)) = self.old.remove_entry(key)
        {
            self.insert(key, value);
        }
        self.young.get_mut(key)
    }

    /// The entry, which does not count as used by this.
    pub(crate) fn peek<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        if let Some(value) = self.young.get_mut(key) {
            return Some(value);
        }
        self.old.get_mut(key)
    }

    /// Adds an entry, or replaces it.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        self.old.remove(&key);
        if self.young.len() >= self.half && !self.young.contains_key(&key) {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    /// How many entries there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Forgets everything, and gives its room back.
    pub(crate) fn clear(&mut self) {
        self.young = HashMap::new();
        self.old = HashMap::new();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever is done, an entry that is found is the one put in last, what was used most lately is found, and
        /// there are never more than the bound.
        #[test]
        fn what_is_kept_is_right_recent_and_bounded(
            steps in prop::collection::vec((0u8..3, 0u8..12, any::<u16>()), 1..300), half in 1usize..5,
        ) {
            let (mut recent, mut model) = (Recent::new(half), HashMap::new());
            let mut used: Vec<u8> = Vec::new();
            for (step, key, value) in steps {
                if step == 0 {
                    recent.insert(key, value);
                    model.insert(key, value);
                    used.push(key);
                } else if step == 1 {
                    if let Some(found) = recent.get(&key) {
                        prop_assert_eq!(Some(&*found), model.get(&key));
                        used.push(key);
                    }
                } else if let Some(found) = recent.peek(&key) {
                    prop_assert_eq!(Some(&*found), model.get(&key));
                }
                prop_assert!(recent.young.len() + recent.old.len() <= 2 * half);
                let mut last: Vec<u8> = Vec::new();
                for key in used.iter().rev() {
                    if last.len() < half && !last.contains(key) {
                        last.push(*key);
                    }
                }
                for key in last {
                    prop_assert!(recent.peek(&key).is_some(), "{} was used lately", key);
                }
            }
        }
    }
}
