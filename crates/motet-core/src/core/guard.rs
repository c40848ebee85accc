//! Who may: the rules in force, who is asked beside them, and what was refused.

use super::{Core, Source, Vhost};
use crate::access::{AccessRules, Action, Authority, Question, Reason, Resource, SignatureCheck, Verdict};
use crate::engine::Engine;
use crate::mailbox::Mailbox;
use crate::name::Name;
use crate::principal::Principal;
use crate::session::SessionHandle;
use parking_lot::{Mutex, RwLock};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The answer to whoever wants to do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// They may.
    Allowed,
    /// They may not. It has been counted and noted.
    Refused(Reason),
    /// Somebody else is being asked; the mailbox is nudged when the answer is there. Then ask again.
    Later,
}

impl Decision {
    /// They may.
    pub fn is_allowed(self) -> bool {
        self == Decision::Allowed
    }
}

/// Something that was refused, for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Who wanted it.
    pub who: Principal,
    /// What they wanted to do.
    pub action: Action,
    /// With what, as MQTT spells it, cut where it is long.
    pub what: String,
    /// Who refused it.
    pub reason: Reason,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    rules: RwLock<Arc<AccessRules>>,
    /// Moves with everything that may change an answer.
    epoch: AtomicU64,
    authority: RwLock<Option<Arc<dyn Authority>>>,
    has_authority: AtomicBool,
    signatures: RwLock<Option<Arc<dyn SignatureCheck>>>,
    refused: [AtomicU64; Action::ALL.len()],
    unsigned: AtomicU64,
    /// The latest: a storm of refusals is told by its number and one example.
    last: Mutex<Option<Refusal>>,
}

/// The rules that hold in one vhost, and the epoch they were picked in.
#[derive(Debug, Default)]
pub(super) struct RulesHere(RwLock<Option<(u64, Arc<AccessRules>)>>);

impl Guard {
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Those that hold in all vhosts.
    pub(super) fn rules(&self) -> Arc<AccessRules> {
        self.rules.read().clone()
    }

    /// Changes the rules; who asked before asks again.
    pub(super) fn change_rules<X>(&self, change: impl FnOnce(&mut Arc<AccessRules>) -> Result<(), X>) -> Result<(), X> {
        change(&mut self.rules.write())?;
        self.epoch.fetch_add(1, Ordering::Release);
        Ok(())
    }

    pub(crate) fn signatures(&self) -> Option<Arc<dyn SignatureCheck>> {
        self.signatures.read().clone()
    }

    /// Counts and notes a refusal.
    fn refuse(&self, who: &Principal, action: Action, resource: Resource<'_>, reason: Reason) {
        self.refused[action as usize].fetch_add(1, Ordering::Relaxed);
        *self.last.lock() = Some(Refusal { who: who.clone(), action, what: resource.to_string(), reason });
    }
}

impl Vhost {
    /// The access rules in force.
    pub fn access(&self) -> Arc<AccessRules> {
        let epoch = self.guard.epoch();
        if let Some((made_at, rules)) = &*self.rules.0.read()
            && *made_at == epoch
        {
            return rules.clone();
        }
        // Rules that came meanwhile are here under an epoch that is behind, so the next one looks again.
        let rules = Arc::new(self.guard.rules.read().within(self.name()));
        *self.rules.0.write() = Some((epoch, rules.clone()));
        rules
    }

    /// Somebody is asked where no rule decides, so an answer may take time.
    pub fn has_authority(&self) -> bool {
        self.guard.has_authority.load(Ordering::Acquire)
    }

    /// Moves whenever the rules change; then whoever acts on an earlier answer asks again.
    pub fn access_epoch(&self) -> u64 {
        self.guard.epoch()
    }

    /// May `who` do `action` with this? Where no rule decides and an authority is there, it is asked, and `tell` is nudged
    /// when it has answered. A refusal is counted and noted.
    pub fn permit(
        &self,
        who: &Principal,
        action: Action,
        resource: Resource<'_>,
        tell: Option<&Arc<Mailbox>>,
    ) -> Decision {
        match self.permit_from(who, action, resource, tell) {
            (None, _) => Decision::Later,
            (Some(true), _) => Decision::Allowed,
            (Some(false), reason) => Decision::Refused(reason),
        }
    }

    /// The same with the reason; `None` when the answer is still to come.
    pub(crate) fn permit_from(
        &self,
        who: &Principal,
        action: Action,
        resource: Resource<'_>,
        tell: Option<&Arc<Mailbox>>,
    ) -> (Option<bool>, Reason) {
        let verdict = self.access().decide(who, action, resource);
        self.settle(verdict, who, action, resource, tell)
    }

    /// May `who` publish to this name, or to this exchange with this key, which is what the name stands for then?
    pub(crate) fn permit_publish(
        &self,
        who: &Principal,
        name: &Name,
        via: Option<(&[u8], &[u8])>,
        tell: Option<&Arc<Mailbox>>,
    ) -> (Option<bool>, Reason) {
        let (rules, action, resource) = (self.access(), Action::Publish, Resource::Name(name));
        let mut verdict = rules.decide(who, action, resource);
        // Permissions speak of exchanges; a queue is never published to but through one.
        if let (Reason::Permission, Some((exchange, key))) = (verdict.reason, via) {
            verdict = rules.decide(who, action, Resource::Exchange(exchange));
            verdict.allowed &= rules.permissions().allows_key(who, self.name(), action, exchange, key);
        }
        self.settle(verdict, who, action, resource, tell)
    }

    fn settle(
        &self,
        verdict: Verdict,
        who: &Principal,
        action: Action,
        resource: Resource<'_>,
        tell: Option<&Arc<Mailbox>>,
    ) -> (Option<bool>, Reason) {
        let Verdict { mut allowed, mut reason } = verdict;
        if reason == Reason::Default
            && let Some(authority) = &*self.guard.authority.read()
        {
            reason = Reason::Authority;
            match authority.ask(Question { who, action, resource }, tell) {
                Some(answer) => allowed = answer,
                None => return (None, reason),
            }
        }
        if !allowed {
            self.guard.refuse(who, action, resource, reason);
        }
        (Some(allowed), reason)
    }

    /// A message without the signature that its address asks for was refused.
    pub fn count_unsigned(&self) {
        self.guard.unsigned.fetch_add(1, Ordering::Relaxed);
    }

    /// Who checks signatures where an address asks for them.
    pub fn signatures(&self) -> Option<Arc<dyn SignatureCheck>> {
        self.guard.signatures()
    }
}

impl<E: Engine> Core<E> {
    /// Replaces the access rules; publishers notice at their next message, subscribers by [`Core::keep_allowed`].
    /// Permissions are not among them: they stay as they are, in every vhost.
    pub fn set_access(&self, rules: AccessRules) {
        let replaced: Result<(), std::convert::Infallible> = self.guard.change_rules(|known| {
            *known = Arc::new(rules.with_permissions(known.permissions().clone()));
            Ok(())
        });
        replaced.unwrap_or_else(|never| match never {});
    }

    /// Who is asked where no rule decides.
    pub fn set_authority(&self, authority: Option<Arc<dyn Authority>>) {
        self.guard.has_authority.store(authority.is_some(), Ordering::Release);
        *self.guard.authority.write() = authority;
        self.guard.epoch.fetch_add(1, Ordering::Release);
    }

    /// Which addresses ask for signatures.
    pub fn set_signatures(&self, signatures: Option<Arc<dyn SignatureCheck>>) {
        *self.guard.signatures.write() = signatures;
        self.guard.epoch.fetch_add(1, Ordering::Release);
    }

    /// What was refused since the start, action by action.
    pub fn refused(&self) -> [(Action, u64); Action::ALL.len()] {
        Action::ALL.map(|action| (action, self.guard.refused[action as usize].load(Ordering::Relaxed)))
    }

    /// Messages refused for want of a signature.
    pub fn refused_unsigned(&self) -> u64 {
        self.guard.unsigned.load(Ordering::Relaxed)
    }

    /// The latest refusal that was not taken yet.
    pub fn take_refusal(&self) -> Option<Refusal> {
        self.guard.last.lock().take()
    }

    /// Ends the session's subscriptions that the rules do not allow `who` any more; answers how many. To be called when
    /// a session is resumed and when [`Vhost::access_epoch`] has moved. What an authority allowed stays as it is.
    pub fn keep_allowed(&self, handle: &SessionHandle, who: &Principal) -> usize {
        let rules = handle.session().vhost().access();
        let asks = self.guard.has_authority.load(Ordering::Acquire);
        let is_over = |pattern: &crate::pattern::Pattern| {
            let verdict = rules.decide(who, Action::Subscribe, Resource::Pattern(pattern));
            let was_asked = asks && verdict.reason == Reason::Default;
            !(verdict.allowed || was_asked)
        };
        let may_consume = |queue: &[u8]| {
            let verdict = rules.decide(who, Action::Consume, Resource::Queue(queue));
            verdict.allowed || (asks && verdict.reason == Reason::Default)
        };
        let parted = self.part_if(handle, |source| match source {
            Source::Group { pattern, .. } => is_over(pattern),
            Source::Queue(name) => !may_consume(name),
        });
        let over: Vec<_> = handle.session().patterns().into_iter().filter(is_over).collect();
        if over.is_empty() {
            return parted;
        }
        parted + self.unsubscribe(handle, &over).0.into_iter().filter(|&was_there| was_there).count()
    }

    /// Whether `who`, who has the session, may hear now what came to it from `address` some time ago: the rules allow
    /// it, or one of the subscriptions that [`Core::keep_allowed`] has left. A refusal is counted and noted.
    pub fn may_still_hear(&self, handle: &SessionHandle, who: &Principal, address: &Name) -> bool {
        let session = handle.session();
        let Verdict { allowed, reason } = session.vhost().access().check(who, Action::Subscribe, address);
        let was_asked = reason == Reason::Default && self.guard.has_authority.load(Ordering::Acquire);
        if allowed || was_asked || session.hears(address) {
            return true;
        }
        self.guard.refuse(who, Action::Subscribe, Resource::Name(address), reason);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Actions, Places, Rule, Template, Who};
    use crate::core::{CoreLimits, Publisher};
    use crate::fake::FakeEngine;
    use crate::mailbox::Overflow;
    use crate::session::{Expiry, OpenSession, SubscribeOptions};
    use crate::spelling::mqtt;
    use crate::time::Now;

    fn core() -> Core<FakeEngine> {
        Core::new(FakeEngine::default(), CoreLimits::default())
    }

    fn only(filter: &str) -> AccessRules {
        let names = vec![Template::new(&mqtt::decode_pattern(filter).unwrap()).unwrap()];
        let places = Places { names, ..Places::default() };
        let rule =
            Rule { number: 1, who: vec![Who::Everyone], actions: Actions::ALL, places, vhosts: vec![], allow: true };
        AccessRules::new(vec![rule], false)
    }

    fn allowed(publisher: &mut Publisher, topic: &str) -> bool {
        publisher.known(topic.as_bytes(), || mqtt::decode_name(topic)).unwrap().allowed()
    }

    #[test]
    fn a_publisher_notices_new_rules_at_its_next_message() {
        let core = core();
        let mut ann = Publisher::new(&core, Principal::named("ann"), None);
        assert!(allowed(&mut ann, "a") && allowed(&mut ann, "b"));
        core.set_access(only("a"));
        assert!(allowed(&mut ann, "a") && !allowed(&mut ann, "b"));
        assert!(!allowed(&mut ann, "b"));
        // Remembered, so counted once.
        assert_eq!(core.refused()[0], (Action::Publish, 1));
        let refusal = core.take_refusal().unwrap();
        assert_eq!((&*refusal.who.name, &*refusal.what, refusal.reason), ("ann", "b", Reason::Default));
        assert_eq!(core.take_refusal(), None);
    }

    #[test]
    fn subscriptions_that_are_not_allowed_any_more_end() {
        let core = core();
        let mailbox = Mailbox::new(1024, Overflow::DropNewest);
        let open = OpenSession {
            vhost: core.vhost(),
            client: "c",
            owner: &Arc::from(""),
            clean_start: true,
            expiry: Expiry::WithConnection,
            credit: 1,
            will: None,
            mailbox: &mailbox,
        };
        let handle = core.open_session(Now::default(), open).unwrap().handle;
        let wanted = ["a", "b"].map(|f| (mqtt::decode_pattern(f).unwrap(), SubscribeOptions::default()));
        core.subscribe(&handle, &wanted);
        let ann = Principal::named("ann");
        assert_eq!(core.keep_allowed(&handle, &ann), 0);
        core.set_access(only("a"));
        assert_eq!(core.keep_allowed(&handle, &ann), 1);
        assert_eq!(handle.session().patterns(), [mqtt::decode_pattern("a").unwrap()]);
    }

    #[derive(Debug, Default)]
    struct Slow(Mutex<Option<bool>>);

    impl Authority for Slow {
        fn ask(&self, _: Question<'_>, tell: Option<&Arc<Mailbox>>) -> Option<bool> {
            let known = *self.0.lock();
            if let (None, Some(tell)) = (known, tell) {
                tell.nudge();
            }
            known
        }
    }

    #[test]
    fn an_authority_is_asked_where_no_rule_decides_and_each_time_anew() {
        let core = core();
        core.set_access(only("a"));
        let slow = Arc::new(Slow::default());
        core.set_authority(Some(slow.clone()));
        let mailbox = Mailbox::new(1024, Overflow::DropNewest);
        let mut ann = Publisher::new(&core, Principal::named("ann"), None).asking(&mailbox);
        assert!(allowed(&mut ann, "a"));
        let known = ann.known(b"b", || mqtt::decode_name("b")).unwrap();
        assert!(known.waits() && !known.allowed());
        *slow.0.lock() = Some(true);
        assert!(allowed(&mut ann, "b"));
        *slow.0.lock() = Some(false);
        assert!(!allowed(&mut ann, "b"));
        assert!(!ann.known(b"b", || mqtt::decode_name("b")).unwrap().waits());
    }
}
