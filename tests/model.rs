//! Random programs against a model: every verb, on every kind of chunk, and after each step the tree
//! must be the model's, to the last byte of every payload.
//!
//! Attacks: lost or doubled links, wrong order of children, contents that move or get mixed up, pools
//! that hand out the same room twice, references that outlive their ends, totals that drift.

mod random;

use std::collections::HashMap;
use std::ffi::c_void;
use std::ptr;

use random::Rng;
use tmempool::error::{FreeError, StealError};
use tmempool::ops;
use tmempool::tree::Chunk;

/// What the programs of this model draw besides.
impl Rng {
    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    fn size(&mut self) -> usize {
        match self.below(20) {
            0 => 0,
            1..=12 => self.below(200),
            13..=17 => self.below(3000),
            18 => self.below(100_000),
            _ => self.below(600_000),
        }
    }
}

type Id = u32;

#[derive(Clone, Default)]
struct Node {
    at: usize,
    size: usize,
    parent: Option<Id>,
    /// Newest first.
    children: Vec<Id>,
    is_pool: bool,
    /// The target, when this is a reference.
    refers_to: Option<Id>,
    /// References to it, newest first.
    references: Vec<Id>,
}

/// Who gets a chunk that its references save.
#[derive(Debug)]
enum Heir {
    Grandparent,
    Owner(Id),
    Nobody,
}

struct Model {
    nodes: HashMap<Id, Node>,
    roots: Vec<Id>,
    next: Id,
    freed: Vec<usize>,
}

fn fill_of(id: Id, i: usize) -> u8 {
    (id as u8).wrapping_mul(31).wrapping_add(i as u8)
}

fn chunk_at(at: usize) -> Chunk {
    // SAFETY: one thread.
    unsafe { Chunk::check(ptr::with_exposed_provenance(at)) }.expect("a live chunk")
}

impl Model {
    fn chunk(&self, id: Id) -> Chunk {
        chunk_at(self.nodes[&id].at)
    }

    fn add(&mut self, parent: Option<Id>, chunk: Chunk, node: Node) -> Id {
        let id = self.next;
        self.next += 1;
        let at = chunk.ptr().expose_provenance();
        self.nodes.insert(id, Node { at, parent, ..node });
        match parent {
            Some(p) => self.nodes.get_mut(&p).unwrap().children.insert(0, id),
            None => self.roots.push(id),
        }
        id
    }

    fn fill(&self, id: Id, from: usize) {
        let node = &self.nodes[&id];
        let payload = chunk_at(node.at).ptr().cast::<u8>();
        for i in from..node.size {
            // SAFETY: within the payload.
            unsafe { *payload.add(i) = fill_of(id, i) };
        }
    }

    fn detach(&mut self, id: Id) {
        match self.nodes[&id].parent {
            Some(p) => self.nodes.get_mut(&p).unwrap().children.retain(|&c| c != id),
            None => self.roots.retain(|&c| c != id),
        }
    }

    fn attach(&mut self, id: Id, to: Option<Id>) {
        self.nodes.get_mut(&id).unwrap().parent = to;
        match to {
            Some(p) => self.nodes.get_mut(&p).unwrap().children.insert(0, id),
            None => self.roots.push(id),
        }
    }

    fn is_above(&self, above: Id, mut id: Id) -> bool {
        loop {
            if id == above {
                return true;
            }
            match self.nodes[&id].parent {
                Some(p) => id = p,
                None => return false,
            }
        }
    }

    fn drop_reference(&mut self, handle: Id) {
        let target = self.nodes[&handle].refers_to.unwrap();
        self.nodes.get_mut(&target).unwrap().references.retain(|&r| r != handle);
        self.detach(handle);
        self.freed.push(self.nodes[&handle].at);
        self.nodes.remove(&handle);
    }

    /// The rule for a chunk that is freed by itself or with its parent. Says whether it died, or else
    /// who kept it.
    fn kill(&mut self, id: Id) -> Result<(), Heir> {
        let heir = match self.nodes[&id].references.first().map(|h| self.nodes[h].parent) {
            None | Some(None) => Heir::Grandparent,
            Some(Some(owner)) if self.is_above(id, owner) => Heir::Nobody,
            Some(Some(owner)) => Heir::Owner(owner),
        };
        while let Some(&handle) = self.nodes[&id].references.first() {
            let below = self.is_above(id, handle);
            self.drop_reference(handle);
            if !below {
                return Err(heir);
            }
        }
        if let Some(target) = self.nodes[&id].refers_to {
            self.nodes.get_mut(&target).unwrap().references.retain(|&r| r != id);
        }
        self.kill_children(id);
        self.detach(id);
        self.freed.push(self.nodes[&id].at);
        self.nodes.remove(&id);
        Ok(())
    }

    fn kill_children(&mut self, id: Id) {
        while let Some(&child) = self.nodes[&id].children.first() {
            if let Err(heir) = self.kill(child) {
                let to = match heir {
                    Heir::Owner(owner) => Some(owner),
                    Heir::Nobody => None,
                    Heir::Grandparent => self.nodes[&id].parent,
                };
                self.detach(child);
                self.attach(child, to);
            }
        }
    }

    fn totals(&self, id: Id) -> (usize, usize) {
        let node = &self.nodes[&id];
        let own = if node.refers_to.is_some() { 0 } else { node.size };
        node.children.iter().fold((own, 1), |(size, blocks), &c| {
            let (s, b) = self.totals(c);
            (size + s, blocks + b)
        })
    }

    fn verify_node(&self, id: Id) {
        let node = &self.nodes[&id];
        let chunk = self.chunk(id);
        assert_eq!(chunk.size(), if node.is_pool { 0 } else { node.size }, "size of {id}");
        assert_eq!(chunk.parent().map(|p| p.ptr().addr()), node.parent.map(|p| self.nodes[&p].at));
        let children: Vec<usize> = chunk.children().map(|c| c.ptr().addr()).collect();
        let expected: Vec<usize> = node.children.iter().map(|c| self.nodes[c].at).collect();
        assert_eq!(children, expected, "children of {id}");
        assert_eq!(chunk.is_reference(), node.refers_to.is_some());
        // SAFETY: one thread; payloads of live chunks.
        unsafe {
            assert_eq!(ops::reference_count(chunk), node.references.len());
            if !node.is_pool && node.refers_to.is_none() {
                // Both ends whole, the middle by samples.
                let ends = (0..node.size.min(64)).chain(node.size.saturating_sub(64)..node.size);
                for i in ends.chain((0..node.size).step_by(509)) {
                    assert_eq!(*chunk.ptr().cast::<u8>().add(i), fill_of(id, i), "byte {i} of {id}");
                }
            }
        }
    }

    fn verify(&self) {
        for &id in self.nodes.keys() {
            self.verify_node(id);
        }
        for &root in &self.roots {
            let chunk = self.chunk(root);
            // SAFETY: one thread.
            let totals = unsafe { (ops::total_size(chunk), ops::total_blocks(chunk)) };
            assert_eq!(totals, self.totals(root));
        }
    }
}

fn step(model: &mut Model, rng: &mut Rng) {
    let mut ids: Vec<Id> =
        model.nodes.iter().filter(|(_, n)| n.refers_to.is_none()).map(|(&id, _)| id).collect();
    ids.sort_unstable();
    let context = if ids.is_empty() || rng.below(8) == 0 { None } else { Some(rng.pick(&ids)) };
    let c = context.map(|id| model.chunk(id));
    // SAFETY: for the whole step: one thread; the model knows which chunks are alive.
    unsafe {
        match rng.below(if ids.len() > 300 { 14 } else { 24 }) {
            0..=2 if !ids.is_empty() => {
                let id = rng.pick(&ids);
                let chunk = model.chunk(id);
                let outcome = ops::free(chunk, c"here".as_ptr());
                let refs = &model.nodes[&id].references;
                let only_ref_of_root = refs.len() == 1 && model.nodes[&id].parent.is_none();
                if refs.is_empty() {
                    assert_eq!(outcome, Ok(()));
                    model.kill(id).unwrap();
                } else if only_ref_of_root {
                    assert_eq!(outcome, Ok(()));
                    let handle = refs[0];
                    let owner = model.nodes[&handle].parent;
                    if owner.is_some_and(|o| model.is_above(id, o)) {
                        model.kill(id).unwrap();
                    } else {
                        model.drop_reference(handle);
                        model.detach(id);
                        model.attach(id, owner);
                    }
                } else {
                    assert_eq!(outcome, Err(FreeError::HasReferences));
                }
            }
            3 if !ids.is_empty() => {
                let id = rng.pick(&ids);
                match rng.below(2) {
                    0 => ops::free_children(model.chunk(id), c"here".as_ptr()).unwrap(),
                    _ => ops::reset(model.chunk(id), c"here".as_ptr()).unwrap(),
                }
                model.kill_children(id);
            }
            4..=7 if !ids.is_empty() => {
                let id = rng.pick(&ids);
                let node = model.nodes[&id].clone();
                let size = rng.size().max(1);
                let result = ops::realloc(model.chunk(id), size);
                if node.is_pool || !node.references.is_empty() {
                    assert!(result.is_err());
                } else {
                    let (moved, _) = result.unwrap();
                    let n = model.nodes.get_mut(&id).unwrap();
                    if n.at != moved.ptr().addr() {
                        model.freed.push(n.at);
                    }
                    n.at = moved.ptr().expose_provenance();
                    n.size = size;
                    model.fill(id, node.size.min(size));
                }
            }
            8..=10 if !ids.is_empty() => {
                let id = rng.pick(&ids);
                let result = ops::steal(c, model.chunk(id));
                match context {
                    Some(to) if to == id => assert_eq!(result, Ok(())),
                    Some(to) if model.is_above(id, to) => {
                        assert_eq!(result, Err(StealError::Cycle));
                        let exchanged = ops::change_places(model.chunk(to), model.chunk(id));
                        let place = model.nodes[&id].parent;
                        assert_eq!(exchanged, if place.is_some() { Ok(()) } else { Err(StealError::Cycle) });
                        if place.is_some() {
                            model.detach(to);
                            model.attach(to, place);
                            model.detach(id);
                            model.attach(id, context);
                        }
                    }
                    _ => {
                        assert_eq!(result, Ok(()));
                        model.detach(id);
                        model.attach(id, context);
                    }
                }
            }
            11 if !ids.is_empty() => {
                let id = rng.pick(&ids);
                ops::reference(c, model.chunk(id), c"there".as_ptr()).unwrap();
                let handle = match c {
                    Some(c) => c.children().next().unwrap(),
                    None => return unlink_rootless(model, id),
                };
                let node = Node { size: handle.size(), refers_to: Some(id), ..Node::default() };
                let handle = model.add(context, handle, node);
                model.nodes.get_mut(&id).unwrap().references.insert(0, handle);
            }
            12..=13 if !ids.is_empty() => {
                let id = rng.pick(&ids);
                let held =
                    model.nodes[&id].references.iter().find(|h| model.nodes[h].parent == context).copied();
                let result = ops::unlink(c, model.chunk(id), c"unlink".as_ptr());
                if let Some(handle) = held {
                    assert_eq!(result, Ok(()));
                    model.drop_reference(handle);
                } else if model.nodes[&id].parent != context {
                    assert_eq!(result, Err(FreeError::NotOwned));
                } else {
                    assert_eq!(result, Ok(()));
                    if let Some(&handle) = model.nodes[&id].references.first() {
                        let owner = model.nodes[&handle].parent.filter(|&o| !model.is_above(id, o));
                        model.drop_reference(handle);
                        model.detach(id);
                        model.attach(id, owner);
                        return;
                    }
                    model.kill(id).unwrap();
                }
            }
            14..=15 => {
                let room = rng.size() / 4;
                let pool = match rng.below(2) {
                    0 => ops::pool(c, room).unwrap(),
                    _ => ops::growable_pool(c, room, rng.size()).unwrap(),
                };
                if rng.below(3) == 0 {
                    assert!(ops::set_keep(pool, rng.below(100_000)));
                }
                model.add(context, pool, Node { is_pool: true, ..Node::default() });
            }
            16 => {
                let (size, few, room) = (rng.size(), rng.below(10), rng.size() / 4);
                let pool = match rng.below(2) {
                    0 => ops::pooled_object(c, size, few, room).unwrap(),
                    _ => ops::object_with_room(c, size, few, room).unwrap(),
                };
                let id = model.add(context, pool, Node { size, is_pool: false, ..Node::default() });
                model.fill(id, 0);
                // It may not change its size, like any pool.
                assert!(ops::realloc(pool, size + 1).is_err());
                assert!(!ops::resize_in_place(pool, size + 1) && !ops::resize_in_place(pool, size / 2));
                ops::free(model.chunk(id), ptr::null()).unwrap();
                model.kill(id).unwrap();
            }
            _ => {
                let size = rng.size();
                let chunk = ops::alloc_zeroed(c, size).unwrap();
                let bytes = std::slice::from_raw_parts(chunk.ptr().cast::<u8>(), size);
                assert!(bytes.iter().all(|&b| b == 0));
                let id = model.add(context, chunk, Node { size, ..Node::default() });
                model.fill(id, 0);
            }
        }
    }
}

/// A reference without a context has no place in the model: taken back at once.
fn unlink_rootless(model: &Model, id: Id) {
    // SAFETY: one thread, a live chunk.
    unsafe { ops::unlink(None, model.chunk(id), ptr::null()).unwrap() };
}

#[test]
fn random_programs_agree_with_the_model() {
    let rounds = if cfg!(miri) { 1 } else { 200 };
    for seed in 1..=rounds {
        let mut rng = Rng(0x1234_5678_9abc_def1u64.wrapping_mul(seed));
        let mut model = Model { nodes: HashMap::new(), roots: Vec::new(), next: 0, freed: Vec::new() };
        for i in 0..if cfg!(miri) { 60 } else { 1500 } {
            step(&mut model, &mut rng);
            if i % 50 == 0 {
                model.verify();
            }
        }
        model.verify();
        stale_pointers_are_recognised(&model);
        while let Some(&root) = model.roots.last() {
            let chunk = model.chunk(root);
            // SAFETY: one thread.
            unsafe {
                while let Some(location) = ops::reference_locations(chunk).next() {
                    let _ = location;
                    let handle = model.nodes[&root].references[0];
                    let owner = model.nodes[&handle].parent.map(|p| model.chunk(p));
                    ops::unlink(owner, chunk, ptr::null()).unwrap();
                    model.drop_reference(handle);
                }
                ops::free(chunk, ptr::null()).unwrap();
            }
            model.kill(root).unwrap();
        }
        assert!(model.nodes.is_empty());
    }
}

/// What was freed and whose memory nobody has got since is not taken for alive.
fn stale_pointers_are_recognised(model: &Model) {
    let alive: std::collections::HashSet<usize> = model.nodes.values().map(|n| n.at).collect();
    for &at in model.freed.iter().filter(|at| !alive.contains(at)) {
        let pointer: *const c_void = ptr::with_exposed_provenance(at);
        // SAFETY: any pointer may be asked about.
        if let Ok(c) = unsafe { Chunk::check(pointer) } {
            panic!("the freed {pointer:?} passes for {c:?}: {:?}", *c);
        }
    }
}
