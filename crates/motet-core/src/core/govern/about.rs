//! What is said of a vhost, for people mostly.

use super::record;
use crate::core::broker::QueueDeclaration;
use crate::core::{Core, RecordTooBig, RegistryKind, Vhost};
use crate::engine::{Engine, Position};
use crate::message::Value;

/// The argument that names a queue's type.
const TYPE: &str = "x-queue-type";

/// See the module's page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VhostAbout {
    /// For people.
    pub description: String,
    /// Words to sort by.
    pub tags: Vec<String>,
    /// The type of a queue whose declaration names none; `None` is classic.
    pub default_queue_type: Option<String>,
}

impl VhostAbout {
    fn encode(&self) -> Vec<u8> {
        let text = |text: &String| Value::Text(text.clone());
        let mut fields = vec![
            ("description".to_owned(), text(&self.description)),
            ("tags".to_owned(), Value::List(self.tags.iter().map(text).collect())),
        ];
        fields.extend(self.default_queue_type.iter().map(|kind| ("default_queue_type".to_owned(), text(kind))));
        record::encode(fields)
    }

    fn decode(value: &[u8]) -> Option<Self> {
        let fields = record::decode(value)?;
        let tags = fields.iter().find_map(|(name, value)| match value {
            Value::List(tags) if name == "tags" => Some(tags),
            _ => None,
        })?;
        let word = |value: &Value| if let Value::Text(text) = value { Some(text.clone()) } else { None };
        Some(VhostAbout {
            description: record::text(&fields, "description")?.into(),
            tags: tags.iter().filter_map(word).collect(),
            default_queue_type: record::text(&fields, "default_queue_type").map(Into::into),
        })
    }
}

impl<E: Engine> Core<E> {
    /// What is said of a vhost.
    pub fn vhost_about(&self, vhost: &Vhost) -> VhostAbout {
        let value = self.registry_get(RegistryKind::VHOST_ABOUT, vhost.name().as_bytes());
        value.and_then(|value| VhostAbout::decode(&value)).unwrap_or_default()
    }

    /// A declaration that names no type asks for the vhost's own, unless a queue of that type cannot be what else it asks
    /// for: then it is classic. As in RabbitMQ, the type becomes an argument of the queue.
    pub fn with_default_type(&self, vhost: &Vhost, mut declaration: QueueDeclaration) -> QueueDeclaration {
        if declaration.arguments.iter().any(|(name, _)| &**name == TYPE) {
            return declaration;
        }
        let is_plain = declaration.durable && declaration.exclusive.is_none() && !declaration.auto_delete;
        let kind = self.vhost_about(vhost).default_queue_type;
        let kind = kind.filter(|kind| match &**kind {
            "classic" => true,
            "quorum" | "stream" => is_plain,
            _ => false,
        });
        declaration.arguments.extend(kind.map(|kind| (TYPE.into(), Value::Text(kind))));
        declaration
    }

    /// Says something else of a vhost. When it is durable.
    ///
    /// # Errors
    /// [`RecordTooBig`]; nothing was changed.
    pub fn set_vhost_about(&self, vhost: &Vhost, about: &VhostAbout) -> Result<Position, RecordTooBig> {
        self.registry_put(RegistryKind::VHOST_ABOUT, vhost.name().as_bytes(), &about.encode())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::CoreLimits;
    use crate::fake::FakeEngine;

    #[test]
    fn a_declaration_without_a_type_takes_the_vhosts_where_that_can_be() {
        let core = Core::new(FakeEngine::default(), CoreLimits::default());
        let vhost = core.vhost().clone();
        let durable = QueueDeclaration { durable: true, ..QueueDeclaration::default() };
        let of = |declaration: &QueueDeclaration| {
            let told = core.with_default_type(&vhost, declaration.clone());
            told.arguments.first().map(|(_, value)| value.clone())
        };
        assert_eq!(of(&durable), None);
        let about = VhostAbout { default_queue_type: Some("quorum".into()), ..VhostAbout::default() };
        core.set_vhost_about(&vhost, &about).unwrap();
        assert_eq!(of(&durable), Some(Value::Text("quorum".into())));
        assert_eq!(of(&QueueDeclaration { auto_delete: true, ..durable.clone() }), None);
        assert_eq!(of(&QueueDeclaration::default()), None);
        assert_eq!(of(&QueueDeclaration { exclusive: Some(1), ..durable.clone() }), None);
        let classic = vec![(TYPE.into(), Value::Text("classic".into()))];
        assert_eq!(of(&QueueDeclaration { arguments: classic, ..durable }), Some(Value::Text("classic".into())));
    }
}
