//! From a pattern to the retained values it asks for, a page at a time.
//!
//! The order is that of a dictionary over segments, a name before those it leads to. It does not depend on what else is
//! in the tree, so a cursor is just a name, and the walk goes on behind it whether that name still exists or not.
//! A value present during the whole walk is shown once; one set or removed meanwhile may or may not be.

use smallvec::{SmallVec, smallvec};

use super::Tree;
use super::arena::{Arena, NodeId};
use super::children::ChildrenAfter;
use super::node::Node;
use crate::name::{Name, write_varint};
use crate::pattern::{Pattern, Token};

/// After so many nodes a page ends even if it is not full, so that a pattern that finds little holds nobody up.
pub const VISITS_PER_PAGE_MAX: usize = 4_096;

impl<K, V, R> Tree<K, V, R> {
    /// Shows `visit` retained values whose names match `pattern`, in order, from the first behind `cursor`: at most
    /// `limit` (at least 1) of them.
    ///
    /// Gives the cursor of the next page. `None` alone means the end: a page may hold fewer than `limit` values, even
    /// none, when it ended at [`VISITS_PER_PAGE_MAX`] nodes.
    pub fn retained_after(
        &self,
        pattern: &Pattern,
        cursor: Option<&Name>,
        limit: usize,
        mut visit: impl FnMut(&Name, &R),
    ) -> Option<Name> {
        let mut walk = PageWalk::behind(self, pattern, cursor);
        let mut shown = 0;
        for _ in 0..VISITS_PER_PAGE_MAX {
            let (id, accepts) = walk.next()?;
            if accepts && let Some(value) = &self.arena.get(id).retained {
                visit(&walk.name(), value);
                shown += 1;
                if shown >= limit {
                    break;
                }
            }
        }
        Some(walk.name())
    }
}

struct PageWalk<'a, K, V, R> {
    tree: &'a Tree<K, V, R>,
    tokens: Vec<Token<'a>>,
    /// The way from the root, one frame a node.
    frames: Vec<Frame<'a>>,
    /// The name of the node at hand, in flat form.
    path: Vec<u8>,
}

struct Frame<'a> {
    /// Where in the pattern the walk stands at this node.
    positions: Positions,
    /// Children still to visit.
    ahead: Ahead<'a>,
    /// How much of the path names this node.
    path_bytes: usize,
}

enum Ahead<'a> {
    /// The one child a literal asks for.
    Named(Option<(&'a [u8], NodeId)>),
    /// All, for a wildcard.
    All(ChildrenAfter<'a>),
}

impl<'a, K, V, R> PageWalk<'a, K, V, R> {
    /// Stands on `cursor`, or where it would be, ready to go on.
    fn behind(tree: &'a Tree<K, V, R>, pattern: &'a Pattern, cursor: Option<&Name>) -> Self {
        let mut walk = Self { tree, tokens: pattern.tokens().collect(), frames: Vec::new(), path: Vec::new() };
        let mut id = Arena::<Node<K, V, R>>::ROOT;
        let mut positions = Positions::start(&walk.tokens);
        for segment in cursor.iter().flat_map(|name| name.segments()) {
            walk.open(id, positions.clone(), Some(segment));
            let Some(child) = tree.arena.get(id).children.get(segment) else { return walk };
            positions = walk.follow(&positions, segment);
            if positions.0.is_empty() {
                return walk;
            }
            walk.name_child(segment);
            id = child;
        }
        walk.open(id, positions, None);
        walk
    }

    /// Puts the node `id`, whose name is the path, on top, with its children behind `after` to be visited.
    fn open(&mut self, id: NodeId, positions: Positions, after: Option<&[u8]>) {
        let children = &self.tree.arena.get(id).children;
        let is_wild =
            |&position: &usize| self.tokens.get(position).is_some_and(|token| !matches!(token, Token::Literal(_)));
        let ahead = if positions.0.iter().any(is_wild) {
            Ahead::All(children.after(after))
        } else if let Some(&Token::Literal(segment)) = positions.0.first().and_then(|&at| self.tokens.get(at)) {
            // Without a wildcard at work there is one position, hence one child.
            let is_behind = after.is_none_or(|after| segment > after);
            Ahead::Named(children.get(segment).filter(|_| is_behind).map(|id| (segment, id)))
        } else {
            Ahead::Named(None)
        };
        self.frames.push(Frame { positions, ahead, path_bytes: self.path.len() });
    }

    /// Goes to the next node the pattern can lead to; also says whether the pattern matches its name.
    fn next(&mut self) -> Option<(NodeId, bool)> {
        loop {
            let frame = self.frames.last_mut()?;
            let child = match &mut frame.ahead {
                Ahead::Named(child) => child.take(),
                Ahead::All(children) => children.next(),
            };
            let Some((segment, id)) = child else {
                self.frames.pop();
                continue;
            };
            let frame = self.frames.last().expect("the frame just asked is still there");
            let positions = self.follow(&frame.positions, segment);
            if positions.0.is_empty() {
                continue;
            }
            self.path.truncate(frame.path_bytes);
            self.name_child(segment);
            let accepts = positions.accept(&self.tokens);
            self.open(id, positions, None);
            return Some((id, accepts));
        }
    }

    /// The positions after `segment`, taken from the node on top of the frames.
    fn follow(&self, positions: &Positions, segment: &[u8]) -> Positions {
        let is_first = self.frames.len() == 1;
        if is_first && segment.first() == Some(&b'$') && !matches!(self.tokens.first(), Some(Token::Literal(_))) {
            return Positions(SmallVec::new());
        }
        positions.after(segment, &self.tokens)
    }

    fn name_child(&mut self, segment: &[u8]) {
        write_varint(segment.len(), &mut self.path);
        self.path.extend_from_slice(segment);
    }

    /// The name of the node at hand.
    fn name(&self) -> Name {
        Name::from_trusted_flat(self.path.clone())
    }
}

/// The tokens of a pattern that may come next, in rising order; the number of tokens stands for its end.
///
/// Nothing before an `AnyMiddle` that may come next is kept: what it could lead to, the `AnyMiddle` can too.
#[derive(Clone)]
struct Positions(SmallVec<[usize; 3]>);

impl Positions {
    fn start(tokens: &[Token<'_>]) -> Self {
        let mut positions = Self(smallvec![]);
        positions.add(0, tokens);
        positions
    }

    fn after(&self, segment: &[u8], tokens: &[Token<'_>]) -> Self {
        let mut next = Self(SmallVec::new());
        for &position in &self.0 {
            match tokens.get(position) {
                Some(Token::AnyMiddle | Token::Rest) => next.add(position, tokens),
                Some(Token::One) => next.add(position + 1, tokens),
                Some(&Token::Literal(literal)) if literal == segment => next.add(position + 1, tokens),
                Some(Token::Literal(_)) | None => {}
            }
        }
        next
    }

    /// Adds `position`, and what follows it if it can stand for no segment. Positions come in rising order.
    fn add(&mut self, mut position: usize, tokens: &[Token<'_>]) {
        loop {
            if self.0.last().is_some_and(|&last| last >= position) {
                return;
            }
            match tokens.get(position) {
                Some(Token::AnyMiddle) => {
                    self.0.clear();
                    self.0.push(position);
                    position += 1;
                }
                Some(Token::Rest) => {
                    self.0.clear();
                    self.0.push(position);
                    return;
                }
                _ => {
                    self.0.push(position);
                    return;
                }
            }
        }
    }

    fn accept(&self, tokens: &[Token<'_>]) -> bool {
        self.0.last().is_some_and(|&last| last == tokens.len() || tokens[last] == Token::Rest)
    }
}
